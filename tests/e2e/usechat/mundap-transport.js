import { DefaultChatTransport } from "ai";

/** One chat: a stored one by its `id`, or a new one that asks a `collection`. */
export class MundapTransport extends DefaultChatTransport {
  turn; // what is being written, as far as this tab knows
  begun = 0; // answers that this tab has seen begin

  constructor({ id, collection, api = "/api/v1", headers = {} }) {
    super({
      api,
      headers,
      prepareSendMessagesRequest: ({ messages, headers }) => {
        const question = messages.at(-1);
        const path = this.chat ? `${this.chat}/turns/` : "";
        // The same key until an answer has begun: a question that is sent again is not asked twice.
        const key = `${question.id}.${this.begun}`;
        return {
          api: `${api}/chats/${path}`,
          headers: { ...headers, accept: "text/event-stream", "idempotency-key": key },
          body: { text: textOf(question), collection: this.chat ? undefined : collection },
        };
      },
      // A known turn is told to its end even if that has come; otherwise what runs now, or 204.
      prepareReconnectToStreamRequest: () => ({
        api: this.turn ? `${api}/turns/${this.turn}/stream/` : `${api}/chats/${this.chat}/stream`,
      }),
    });
    this.chat = id;
  }

  processResponseStream(stream) {
    const transform = (part, parts) => {
      if (part.type === "start") {
        Object.assign(this, part.messageMetadata); // chat and turn
        this.begun += 1;
      }
      if (part.type === "error" || part.type === "finish") this.turn = undefined;
      parts.enqueue(part);
    };
    return super.processResponseStream(stream).pipeThrough(new TransformStream({ transform }));
  }

  /** Stops the answer; the stream then ends by itself. useChat's own stop() only leaves it. */
  stop = async () => {
    const path = `turns/${this.turn}/stop/`;
    if (this.turn) await fetch(`${this.api}/${path}`, { method: "POST", headers: this.headers });
  };

  /** The stored messages; after that, resumeStream() follows what is being written. */
  load = async () => {
    const reply = await fetch(`${this.api}/chats/${this.chat}/`, { headers: this.headers });
    if (!reply.ok) throw new Error(await reply.text());
    const { messages, active_turn } = await reply.json();
    this.turn = active_turn?.id;
    return messages.map(({ id, role, text, citations, state }) => ({
      id,
      role,
      metadata: { status: state },
      parts: [
        { type: "text", text },
        { type: "data-citations", id: "citations", data: citations },
      ],
    }));
  };
}

const dataOf = (message, type) => message.parts.find((part) => part.type === type)?.data;

/** A message's text: the stored one where the stream says that it is another than was streamed. */
export const textOf = (message) =>
  dataOf(message, "data-final")?.text ??
  message.parts.map((part) => (part.type === "text" ? part.text : "")).join("");

/** What the markers [1], [2] … in an answer's text stand for. */
export const citationsOf = (message) => dataOf(message, "data-citations") ?? [];

/** `{code, message}` of a refused request; `{message}` of a failed answer or a broken connection. */
export const problemOf = (error) => {
  try {
    return JSON.parse(error.message).error;
  } catch {
    return { message: error.message };
  }
};
