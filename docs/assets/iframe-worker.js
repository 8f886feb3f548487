"use strict";
// Pages that are opened as files may not start workers. There the search's worker runs in a hidden frame.
if (location.protocol === "file:") {
  class IFrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = null;
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => {
        const message = new MessageEvent("message", { data });
        this.dispatchEvent(message);
        this.onmessage?.(message);
      };
      const load = (address) => new Promise((done, failed) => {
        const script = Object.assign(inside.document.createElement("script"), { src: address, onload: done, onerror: failed });
        inside.document.body.append(script);
      });
      inside.importScripts = (...addresses) =>
        addresses.reduce((before, address) => before.then(() => load(address)), Promise.resolve());
      load(url).then(() => { this.waiting.forEach((data) => this.deliver(data)); this.waiting = null; });
    }

    deliver(data) { this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })); }
    postMessage(data) { this.waiting ? this.waiting.push(data) : this.deliver(data); }
    terminate() { this.frame.remove(); }
  }
  window.IFrameWorker = window.Worker = IFrameWorker;
}
