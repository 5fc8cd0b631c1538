# first
KETTLE = "copper"
# last
