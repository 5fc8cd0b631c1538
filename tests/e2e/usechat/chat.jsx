import { useChat } from "@ai-sdk/react";
import { useEffect, useState } from "react";
import { MundapTransport, citationsOf, problemOf, textOf } from "./mundap-transport.js";

export function Chat({ id, collection, api, headers }) {
  const [transport] = useState(() => new MundapTransport({ id, collection, api, headers }));
  const { messages, setMessages, sendMessage, regenerate, resumeStream, status, error } = useChat({
    transport,
  });
  const [text, setText] = useState("");
  const [edited, setEdited] = useState(); // the id of the question that is put differently

  const show = async () => {
    setMessages(await transport.load());
    await resumeStream();
  };
  useEffect(() => {
    if (id) show();
  }, []);

  const ask = (event) => {
    event.preventDefault();
    sendMessage({ text, messageId: edited });
    setText("");
    setEdited(undefined);
  };
  const edit = async () => {
    const stored = await transport.load(); // where questions have the ids by which they are edited
    const question = stored.findLast((message) => message.role === "user");
    setMessages(stored);
    setText(textOf(question));
    setEdited(question.id);
  };
  const tryAgain = () => {
    if (problemOf(error).code === "turn_in_progress") {
      setText(textOf(messages.at(-1))); // somebody asked in another tab: show that first
      show();
    } else if (transport.turn) {
      resumeStream(); // the connection broke, the answer has gone on
    } else {
      regenerate(); // a failed answer anew; a question that was refused or got lost is sent again
    }
  };

  return (
    <main>
      {messages.map((message) => (
        <article key={message.id} className={message.role}>
          <p>{textOf(message)}</p>
          {message.metadata?.status === "stopped" && <small>Stopped.</small>}
          <ol>
            {citationsOf(message).map(({ number, passage, document, url, quote }) => (
              <li key={number} value={number}>
                <a href={url || `/passages/${passage}/`} title={quote}>{document}</a>
              </li>
            ))}
          </ol>
        </article>
      ))}
      {error && (
        <p role="alert">
          <span>{problemOf(error).message}</span>
          <button onClick={tryAgain}>Try again</button>
        </p>
      )}
      {status === "ready" && messages.length > 0 && (
        <p>
          <button onClick={() => regenerate()}>Answer again</button>
          <button onClick={edit}>Edit question</button>
        </p>
      )}
      <form onSubmit={ask}>
        <textarea value={text} onChange={(event) => setText(event.target.value)} />
        {status === "submitted" || status === "streaming" ? (
          <button type="button" onClick={transport.stop}>Stop</button>
        ) : (
          <button>Send</button>
        )}
      </form>
    </main>
  );
}
