// Requests. A channel has one request under way at a time; of those asked for meanwhile only the newest is
// sent, and an answer that a newer question has overtaken is dropped.

import { emit } from "./state.js";
import { say } from "./texts.js";

export class Refused extends Error {}

const LINES = "application/x-ndjson";
const NOT_FINITE = 409;

async function answer(path, body, { accept = "*/*", signal } = {}) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json", Accept: accept }, body: JSON.stringify(body), signal };
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw gone(signal);
  }
  if (reply.ok) return reply;
  if (reply.status === NOT_FINITE) throw new Refused(say("notFinite"));
  const { error } = await reply.json().catch(() => ({}));
  throw new Refused(error ?? `${reply.status} ${reply.statusText}`);
}

// The server is gone, which the page says in its language; or we are, who want no answer any more.
function gone(signal) {
  if (!signal?.aborted) emit("gone");
  return new Refused("");
}

export const get = async (path) => (await answer(path)).json();
export const post = async (path, body) => (await answer(path, body)).json();
export const file = async (path, body) => (await answer(path, body)).blob();

// What takes long: `onProgress` hears how much of it is done, from 0 to 1. Undefined if `signal` gave it up.
export async function inProgress(path, body, signal, onProgress) {
  try {
    const reply = await answer(path, body, { accept: LINES, signal });
    const found = await lastLine(reply.body.getReader(), signal, onProgress);
    if (found.error) throw new Refused(found.error);
    return found;
  } catch (problem) {
    if (signal.aborted) return undefined;
    throw problem;
  }
}

async function lastLine(reader, signal, onProgress) {
  const decoder = new TextDecoder();
  for (let text = ""; ;) {
    const { value, done } = await reader.read().catch(() => { throw gone(signal); });
    if (done) throw gone(signal);
    text += decoder.decode(value, { stream: true });
    if (!text.endsWith("\n")) continue;
    const last = JSON.parse(text.trimEnd().split("\n").at(-1));
    if (last.progress === undefined) return last;
    onProgress(last.progress);
    text = "";
  }
}

export class Channel {
  #newest = 0;
  #running = null;

  // The answer, or undefined if a newer question came.
  async ask(path, body) {
    const mine = ++this.#newest, isNewest = () => mine === this.#newest;
    await this.#running?.catch(() => {}); // whose own asker hears of it
    if (!isNewest()) return undefined;
    this.#running = post(path, body);
    try {
      const found = await this.#running;
      return isNewest() ? found : undefined;
    } catch (problem) {
      if (isNewest()) throw problem;
      return undefined;
    }
  }

  // Forget what was asked.
  drop() {
    this.#newest++;
  }
}
