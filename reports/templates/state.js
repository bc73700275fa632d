"use strict";
// What the reader has chosen. It is the fragment of the address and nothing else, so that any view can be shared.

const state = {
  listeners: [],
  values: new URLSearchParams(location.hash.slice(1)),

  all(key) { return this.values.getAll(key); },
  one(key, otherwise = "") { return this.values.get(key) ?? otherwise; },

  /** Change some keys, null to forget one, and tell everybody. */
  set(changes) {
    for (const [key, value] of Object.entries(changes)) {
      this.values.delete(key);
      for (const one of [value ?? []].flat()) this.values.append(key, one);
    }
    const text = this.values.toString();
    history.replaceState(null, "", text ? `#${text}` : "#");
    this.tell(Object.keys(changes));
  },

  tell(keys) { for (const listener of this.listeners) listener(keys); },

  /** Call now, and whenever one of these keys changes. */
  watch(keys, listener) {
    this.listeners.push((changed) => { if (!changed || changed.some((key) => keys.includes(key))) listener(); });
    listener();
  },
};

addEventListener("hashchange", () => {
  state.values = new URLSearchParams(location.hash.slice(1));
  state.tell(null);
});

const chosenMetric = () => {
  const metric = state.one("by", report.first);
  return metric in report.charts ? metric : report.first;
};
