// Plays cookie conversations with tough-cookie: one JSON object a line in, one a line out.
//
// in:  {"steps": [{"set": [url, field]} | {"get": [url]}], "now": seconds}
// out: the Cookie value of each "get", or null for none; {"error": text} in its place if that failed
import readline from "node:readline";
import { CookieJar } from "tough-cookie";

function play({ steps, now }) {
  // As in RFC 6265bis: cookies without a name are accepted; cookies that break the rule of their prefix are not.
  const jar = new CookieJar(undefined, { looseMode: true, prefixSecurity: "silent" });
  const answers = [];
  for (const { set, get } of steps) {
    try {
      if (set) {
        jar.setCookieSync(set[1], set[0], { ignoreError: true, now: new Date(now * 1000) });
      } else {
        const cookies = jar.getCookiesSync(get[0], { sort: true, now: new Date(now * 1000) });
        answers.push(cookies.length ? cookies.map((cookie) => cookie.cookieString()).join("; ") : null);
      }
    } catch (error) {
      answers.push({ error: String(error) });
    }
  }
  return answers;
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(play(JSON.parse(line))) + "\n");
}
