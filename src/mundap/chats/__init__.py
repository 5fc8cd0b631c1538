"""Conversations: chats, messages and the turns that answer them.

Asking      `turns` in the database and their `versions`, `completions` outside chats; what may begin (`limits`), and
            what it takes (`usage`)
Answering   `runner` starts, stops and follows answers; `live` makes one, `finishing` stores its end; `leases` say whose
            it is, `reaper` ends those of dead processes; `upkeep` and `lifespan` are the server's own
Following   `followed` in this process, through `relay` and `turn_stream` in another; `streaming` for programs,
            `page_stream` and `arriving` for pages
Reading     `store`, over `body_cache` and `sealed_body`; `cached_read` in front of Django; `shapes`, `entity_tags`
Finding     `chat_list`, `chat_search`, filled by `search_index`, with `search_terms`
Showing     `rendering` of answers and their `markers`, `passages` and `citation_states` behind them, `listed` chats,
            `books`, `feedback`
Taking out  `sharing`, `exporting`, `inert_markdown`, `personal_data`
Summaries   `summaries`
For staff   `unanswered`, `dealt_with`
Contracts   `async_view`, for all; `classic`; OpenAI's: `openai_request`, `openai_reply`

What is HTTP ends with `api`, what is a page with `pages`, routes with `urls`.
"""
