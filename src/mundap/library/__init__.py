"""The shelf: collections of documents, read, cut into passages and kept current.

Runs        `runs` from asked for to finished, by `workers`; a command waits for its own in `ingestion`
Reading     `listing` of a source's pages (`sources`), `fetching` (`crawling`), `work` through them, `reading`
            (`parsing`, `chunking`) in a `reading_pool`, `storing`; `signals` tell those above
Changing    `shelving` and `services`, `uploads`, `deleting`
Showing     `kinds` of sources, `quoted_text`, `reading_order`, `paging`, `long_names`, `web_addresses`
Summaries   `summaries`, as rows

What is HTTP ends with `api`, what is a page with `pages`, routes with `urls`.
"""
