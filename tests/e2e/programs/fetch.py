"""Clients in a network namespace of their own: fetch.py HOST PORT CLIENTS asks again and again, each time over a new
connection, until its input ends; then says in a line how many answers came, and each failure."""
import collections
import http.client
import sys
import threading

host, port, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ended, outcomes = threading.Event(), collections.Counter()


def client():
    while not ended.is_set():
        try:
            connection = http.client.HTTPConnection(host, port, timeout=20)
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.status == 200 and response.read()
            outcomes["ok"] += 1
            connection.close()
        except Exception as failure:
            outcomes[type(failure).__name__] += 1


threads = [threading.Thread(target=client) for _ in range(clients)]
for thread in threads:
    thread.start()
print("up", flush=True)
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
print(*(f"{kind}={count}" for kind, count in outcomes.items()), flush=True)
