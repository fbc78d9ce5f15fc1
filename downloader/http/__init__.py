"""HTTP/1.1: sockets, TLS, names, proxies, framing and header fields; the only home of httpx, httpcore and httptools.

    session              what all requests of a run share; makes a client for each thread
    client               sends one thread's requests: `get` a URL, as a `Response`
    request_builder      URL, headers, credentials and cookies to a request
    transport            which package speaks HTTP: httptools_transport, httpcore_transport
    connection, stream   opening connections; one connection
    lenient_heads        heads with odd lines, made regular for httpcore
    resolver, addresses, happy_eyeballs, tls, proxies, abort, request_context
    response, headers, disposition, robots, coding, cookies
                         what a response says

A URL and headers go in, a `Response` or a `FetchError` comes out. `download` decides on retries, ranges and digests.
"""
