import { DefaultChatTransport, generateId } from "ai";

/** One chat: a stored one by its `id`, or a new one that asks a `collection`. */
export class MundapTransport extends DefaultChatTransport {
  answer; // the newest answer's id
  turn; // the turn that is writing it
  request; // the last one that was sent

  constructor({ id, collection, api = "/api/v1", headers = {} }) {
    super({
      api,
      headers,
      prepareSendMessagesRequest: ({ messages, trigger, messageId, headers }) => {
        const isAgain = trigger === "regenerate-message";
        // Where no answer has begun, again means the very same request: under its key it is not asked twice.
        if (!isAgain || this.answer) {
          let path = this.chat ? `chats/${this.chat}/turns/` : "chats/";
          if (isAgain) path = `messages/${messageId ?? this.answer}/regenerate/`;
          else if (messageId) path = `messages/${messageId}/edit/`;
          const text = isAgain ? undefined : textOf(messages.at(-1));
          const body = { text, collection: this.chat ? undefined : collection };
          this.request = { path, body, key: generateId() };
          this.answer = undefined;
        }
        const { path, body, key } = this.request;
        const own = { accept: "text/event-stream", "idempotency-key": key };
        return { api: `${api}/${path}`, headers: { ...headers, ...own }, body };
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
        this.answer = part.messageId;
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
    this.answer = messages.findLast(({ role }) => role === "assistant")?.id;
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
