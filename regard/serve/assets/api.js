// Requests. A channel has one request under way at a time; of those asked for meanwhile only the newest is
// sent, and an answer that a newer question has overtaken is dropped.

import { emit } from "./state.js";

export class Refused extends Error {}

async function answer(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    emit("gone");
    throw new Refused(""); // the server is gone; the page says so in its language
  }
  if (reply.ok) return reply;
  const told = await reply.json().catch(() => ({}));
  throw new Refused(told.error ?? `${reply.status} ${reply.statusText}`);
}

export const get = async (path) => (await answer(path)).json();
export const post = async (path, body) => (await answer(path, body)).json();
export const file = async (path, body) => (await answer(path, body)).blob();

export class Channel {
  #running = false;
  #next = null;

  // The answer, or undefined if a newer question came.
  ask(path, body) {
    return new Promise((resolve, reject) => {
      this.#next?.resolve(undefined);
      this.#next = { path, body, resolve, reject };
      if (!this.#running) this.#run();
    });
  }

  // Forget what was asked.
  drop() {
    this.#next?.resolve(undefined);
    this.#next = null;
    this.dropped = true;
  }

  async #run() {
    this.#running = true;
    while (this.#next) {
      const { path, body, resolve, reject } = this.#next;
      this.#next = null;
      this.dropped = false;
      try {
        const found = await post(path, body);
        resolve(this.#next || this.dropped ? undefined : found);
      } catch (problem) {
        if (this.#next || this.dropped) resolve(undefined);
        else reject(problem);
      }
    }
    this.#running = false;
  }
}
