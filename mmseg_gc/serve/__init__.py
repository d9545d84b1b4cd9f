"""A model as a page for colleagues, and as plain HTTP for programs.

All that comes in is hostile: `limits` counts it, `uploads` looks at it before a decoder does,
`worker` lets one request after the other to the model, `endpoints` and `web_page` answer.
"""
