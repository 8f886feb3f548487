// A panel that shows what the server says of the state: it asks, and draws unless the user has gone on.

import { Channel, Refused } from "./api.js";
import { emit, store } from "./state.js";
import { say } from "./texts.js";

export class Panel {
  constructor(element) {
    this.element = element;
    this.channel = new Channel();
    this.found = null;
  }

  async ask(route, body) {
    const asked = store.state;
    try {
      const found = await this.channel.ask(route, body);
      if (!found || asked !== store.state) return;
      this.found = found;
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      this.found = null;
      return this.refused(problem);
    }
    this.show();
  }

  refused(problem) {
    emit("problem", problem.message || say("gone"));
    this.show();
  }
}
