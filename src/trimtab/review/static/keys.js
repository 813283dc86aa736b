"use strict";
// Single keys press the button, or enter the field, whose data-key they are. All else works without
// this file.
(() => {
  const isOn = () => {
    try {
      return localStorage.getItem("trimtab-keys") !== "off";
    } catch {
      return true;
    }
  };
  const typing = (element) =>
    element.closest("textarea, select, input:not([type=checkbox])") !== null;
  const press = (selector) => {
    const found = document.querySelector(selector);
    if (!found || found.disabled) return false;
    if (found.matches("input, textarea, select")) {
      found.focus();
    } else {
      found.click();
    }
    return true;
  };

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.repeat || !(event.target instanceof Element)) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      if (press("[data-save]")) event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (!isOn() || !/^[a-z0-9]$/i.test(event.key)) return;
    if (press(`[data-key="${event.key.toLowerCase()}"]`)) event.preventDefault();
  });

  // A form that was sent once is not sent again by a second press.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });

  // Once something was changed, saving it is the main thing to do.
  const answer = document.getElementById("answer");
  answer?.addEventListener("input", (event) => {
    if (event.target.id !== "comment") answer.classList.add("changed");
  });

  const toggle = document.getElementById("toggle");
  const keys = document.getElementById("keys");
  if (toggle && keys) {
    toggle.hidden = false;
    keys.checked = isOn();
    keys.addEventListener("change", () => {
      try {
        localStorage.setItem("trimtab-keys", keys.checked ? "on" : "off");
      } catch {
        keys.checked = true;
      }
    });
  }
  const guide = document.getElementById("guide");
  if (guide && window.matchMedia("(max-width: 45rem)").matches) guide.open = false;
})();
