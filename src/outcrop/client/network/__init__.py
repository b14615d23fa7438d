"""How objects are fetched: proxies, the order of servers, when to turn to another one, and when to come back."""
