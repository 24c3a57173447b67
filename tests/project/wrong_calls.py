"""Calls that are wrong. Type checkers must refuse each line that ends with `# refused`, and no other.

`test_types.py` reads this file; no program executes it.
"""

from __future__ import annotations

import httpcore
import httpcore.testing

_ = httpcore.ConectionPool()  # refused
_ = httpcore.SyncConectionPool()  # refused
_ = httpcore.PoolLimit(10)  # refused
_ = httpcore.Sesion()  # refused


def pools(http: httpcore.SyncConnectionPool) -> None:
    http.reqest("GET", "http://a.test/")  # refused
    http.request("GET")  # refused
    http.request("GET", 5)  # refused
    http.request(5, "http://a.test/")  # refused
    http.request("GET", "http://a.test/", heders={})  # refused
    http.request("GET", "http://a.test/", {"a": 1})  # refused
    http.request("GET", "http://a.test/", [("a", 1)])  # refused
    http.request("GET", "http://a.test/", [("a", "b", "c")])  # refused
    http.request("GET", "http://a.test/", "a: b")  # refused
    http.request("GET", "http://a.test/", 5)  # refused
    http.request("POST", "http://a.test/", body=5)  # refused
    http.request("POST", "http://a.test/", body={"json": True})  # refused
    http.request("POST", "http://a.test/", body=["text"])  # refused
    http.request("POST", "http://a.test/", trailers=7)  # refused
    http.request("GET", "http://a.test/", timeout="5")  # refused
    http.request("GET", "http://a.test/", timeout=(1, 2))  # refused
    http.request("GET", "http://a.test/", ssl="ca.pem")  # refused
    http.request("GET", "http://a.test/", max_body="1 MB")  # refused
    http.request("GET", "http://a.test/", trace=5)  # refused
    http.request("GET", "http://a.test/", trace=lambda: None)  # refused
    http.request("GET", "http://a.test/", stream="yes")  # refused
    http.timeout = 5  # refused
    http.limits.max_connections = 5  # refused
    httpcore.SyncConnectionPool("ca.pem")  # refused
    httpcore.SyncConnectionPool(ssl="ca.pem")  # refused
    httpcore.SyncConnectionPool(limits=10)  # refused
    httpcore.SyncConnectionPool(retries="3")  # refused
    httpcore.SyncConnectionPool(resolver=lambda host: ["127.0.0.1"])  # refused
    httpcore.SyncConnectionPool(backend="trio")  # refused
    httpcore.SyncConnectionPool(verify=False)  # refused


def responses(response: httpcore.SyncResponse) -> None:
    response.text()  # refused
    response.header(5)  # refused
    response.header("content-type").lower()  # refused
    response.body.encode()  # refused
    response.connection.send(b"x")  # refused
    response.info.peers  # refused
    response.info.tls.version  # refused
    response.status_code.lower()  # refused
    for _ in response:  # refused
        pass


def made(raw: httpcore.SyncRawStream, connection: httpcore.RawStream) -> None:
    httpcore.SyncResponse("200")  # refused
    httpcore.SyncResponse(200, body=5)  # refused
    httpcore.SyncResponse(200, reason=b"OK")  # refused
    httpcore.SyncResponse(200, connection=connection)  # refused
    httpcore.Response(200, connection=raw)  # refused
    httpcore.Response(200, trailers=7)  # refused
    with raw as stream:
        stream.send("text")  # refused
        stream.recv().decode().read()  # refused
    with connection:  # refused
        pass


def either(pool: httpcore.AnyPool[httpcore.SyncResponse], response: httpcore.AnyResponse) -> None:
    pool.reqest("GET", "http://a.test/")  # refused
    pool.request("GET", 5)  # refused
    pool.request("GET", "http://a.test/").text  # refused
    pool.close().done  # refused
    pool.drain().real  # refused
    pool.requests()[0].reqest  # refused
    response.body.encode()  # refused
    response.read().decode()  # refused
    response.header("a").lower()  # refused
    response.status_code = 5  # refused


async def wrong_variant(plain: httpcore.SyncConnectionPool, http: httpcore.ConnectionPool) -> None:
    either(http, httpcore.Response(200))  # refused
    either(plain, 200)  # refused
    httpcore.run_sync(len)  # refused
    httpcore.run_sync(plain.request("GET", "http://a.test/"))  # refused


async def waits(http: httpcore.ConnectionPool, response: httpcore.Response) -> None:
    http.request("GET", "http://a.test/").status_code  # refused
    (await http.request("GET", "http://a.test/", {"a": 1})).body  # refused
    (await http.request("GET", "http://a.test/", body=5)).body  # refused
    response.read().decode()  # refused
    for _ in response.stream():  # refused
        pass
    with http:  # refused
        pass


def settings() -> None:
    httpcore.TimeoutConfig("5")  # refused
    httpcore.TimeoutConfig(conect=5)  # refused
    httpcore.TimeoutConfig(read="5")  # refused
    httpcore.TimeoutConfig().replace(reed=5)  # refused
    httpcore.TimeoutConfig(min_rate="1000")  # refused
    httpcore.TimeoutConfig(min_rate=(1000, 10))  # refused
    httpcore.TimeoutConfig().replace(min_rate_window="10")  # refused
    httpcore.PoolLimits("10")  # refused
    httpcore.PoolLimits(max_conections=10)  # refused
    httpcore.PoolLimits().replace(max_conections=10)  # refused
    httpcore.PoolLimits().replace(max_connections="10")  # refused
    httpcore.SSLConfig().replace(verfy=False)  # refused
    httpcore.SSLConfig(minimum_version="TLSv1")  # refused
    httpcore.RetryPolicy(3)  # refused
    httpcore.RetryPolicy(statuses=503)  # refused
    httpcore.RetryPolicy(statuses={"503"})  # refused
    httpcore.RetryPolicy(attempts="3")  # refused
    httpcore.RetryPolicy().statuses.add(500)  # refused
    httpcore.SSLConfig(fingerprints=5)  # refused
    httpcore.SSLConfig(alpn=[b"h2"])  # refused
    httpcore.SSLConfig(cert=5)  # refused
    httpcore.NetworkPolicy(allow=5)  # refused
    httpcore.NetworkPolicy(ports={"80"})  # refused
    httpcore.Proxy(5)  # refused
    httpcore.Proxy("http://a.test", auth="user:password")  # refused


def transports(transport: httpcore.HTTPTransport) -> None:
    transport.request("GET", "http://a.test/", {"a": 1})  # refused
    transport.request("GET", "http://a.test/", stream=5)  # refused
    transport.request("GET", "http://a.test/", extensions={"timeuot": 5})  # refused
    transport.request("GET", "http://a.test/", extensions={"timeout": "5"})  # refused
    with transport.request("GET", "http://a.test/") as (status_code, _, stream, extensions):
        status_code.lower()  # refused
        extensions["reason"]  # refused
        b"".join(stream, b"")  # refused
    httpcore.HTTPTransport(verify=5)  # refused
    httpcore.ASGITransport("app")  # refused
    httpcore.WSGITransport(5)  # refused
    httpcore.MockTransport(5)  # refused
    httpcore.RecordReplay(5)  # refused
    httpcore.RecordReplay("file", mode="reply")  # refused
    httpcore.Mounts({"all": 5})  # refused
    httpcore.RateLimit("10")  # refused
    httpcore.HSTS(5)  # refused
    httpcore.Fault(status="503")  # refused
    httpcore.FaultInjection(5)  # refused


def clients(client: httpcore.Client, response: httpcore.ClientResponse) -> None:
    client.gett("http://a.test/")  # refused
    client.get()  # refused
    client.get("http://a.test/", heders={})  # refused
    client.get("http://a.test/", headers={"a": 1})  # refused
    client.get("http://a.test/", params=5)  # refused
    client.get("http://a.test/", timeout="5")  # refused
    client.get("http://a.test/", auth=5)  # refused
    client.get("http://a.test/", trace=5)  # refused
    client.post("http://a.test/", files=5)  # refused
    httpcore.Client(max_redirects="5")  # refused
    httpcore.Client(base_uri="http://a.test/")  # refused
    response.raise_for_statuss()  # refused
    response.status_code.lower()  # refused


def simulations() -> None:
    httpcore.testing.Simulaton()  # refused
    httpcore.testing.Simulation("seed")  # refused
