// Tabs with the documented chat, worked by a test: one JSON command a line in, one JSON reply a line out.
//
// Each tab is the real component over the real hook, drawn by React's renderer without a browser. It reaches the
// server over a line of its own, which a test can cut.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import net from "node:net";
import { createInterface } from "node:readline";
import { useState } from "react";
import { create } from "react-test-renderer";
import { Chat } from "./chat.jsx";
import { textOf } from "./mundap-transport.js";

globalThis.IS_REACT_NATIVE_TEST_ENVIRONMENT = true; // the renderer is deprecated, and says so otherwise
const server = new URL(process.env.SERVER);
const tabs = new Map();
const posts = []; // what was sent, by all tabs

const straight = globalThis.fetch;
globalThis.fetch = (url, options) => {
  const headers = new Headers(options.headers);
  const path = new URL(url).pathname;
  if (options.method === "POST") posts.push({ path, key: headers.get("idempotency-key") });
  return straight(url, options);
};

class Line {
  #state; // "whole"; "down": nobody is there; "deaf": requests get through, replies do not
  #sockets = new Set();
  #listener = net.createServer((near) => this.#pass(near));
  #port = 0;

  /** Cuts all connections; new ones find the line in this state. */
  async turn(state) {
    for (const socket of this.#sockets) socket.destroy();
    if (state === "down") {
      await new Promise((resolve) => this.#listener.close(resolve));
    } else if (!this.#listener.listening) {
      await new Promise((resolve) => this.#listener.listen(this.#port, "127.0.0.1", resolve));
      this.#port = this.#listener.address().port;
    }
    this.#state = state;
  }

  get api() {
    return `http://127.0.0.1:${this.#port}/api/v1`;
  }

  #pass(near) {
    const far = net.connect(server.port, server.hostname);
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on("error", () => {}).on("close", () => {
        this.#sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.on("data", (data) => far.write(data));
    far.on("data", (data) => (this.#state === "deaf" ? near.destroy() : near.write(data)));
  }
}

/** What the SDK does by itself, with nothing of ours but the address. */
function Follower({ id, api, headers }) {
  const [transport] = useState(() => new DefaultChatTransport({ api: `${api}/chats`, headers }));
  const { messages, status, stop, error } = useChat({ id, transport, resume: true });
  return (
    <main>
      {messages.map((message) => (
        <article key={message.id} className={message.role}>
          <p>{textOf(message)}</p>
        </article>
      ))}
      {error && <span>{error.message}</span>}
      <button onClick={stop}>{status === "ready" ? "Ready" : "Leave"}</button>
    </main>
  );
}

const textIn = (node) => node.children.map((one) => one.children ? textIn(one) : one).join("");
const find = (tab, type) => {
  const { page } = tabs.get(tab);
  return page.toJSON() ? page.root.findAllByType(type) : []; // React draws in its own time
};
const one = (tab, type) => find(tab, type)[0];

const commands = {
  async open({ tab, token, is_bare, ...rest }) {
    const Page = is_bare ? Follower : Chat;
    const line = new Line();
    await line.turn("whole");
    const headers = { authorization: `Bearer ${token}` };
    tabs.set(tab, { line, page: create(<Page api={line.api} headers={headers} {...rest} />) });
  },
  async close({ tab }) {
    tabs.get(tab).page.unmount();
    await tabs.get(tab).line.turn("down");
    tabs.delete(tab);
  },
  type: ({ tab, text }) => one(tab, "textarea").props.onChange({ target: { value: text } }),
  send: ({ tab }) => one(tab, "form").props.onSubmit({ preventDefault() {} }),
  press({ tab, label }) {
    const button = find(tab, "button").find((each) => textIn(each) === label);
    button.props.onClick();
  },
  line: ({ tab, state }) => tabs.get(tab).line.turn(state),
  posts: () => posts.splice(0),
  look: ({ tab }) => ({
    messages: find(tab, "article").map((article) => ({
      role: article.props.className,
      text: textIn(article.findByType("p")),
      note: article.findAllByType("small").map(textIn).join(""),
      sources: article.findAllByType("a").map((link) => [link.props.href, textIn(link)]),
    })),
    alert: find(tab, "span").map(textIn).join(""),
    buttons: find(tab, "button").map(textIn),
    typed: one(tab, "textarea")?.props.value,
  }),
};

for await (const text of createInterface({ input: process.stdin })) {
  const { command, ...how } = JSON.parse(text);
  const reply = (await commands[command](how)) ?? null;
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
process.exit(0);
