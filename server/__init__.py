"""To outside: REST in OpenSearch's shapes, the live socket, the page."""
