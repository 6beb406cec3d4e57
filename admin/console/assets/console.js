// What pages can't do by themselves: open dialogs, keep the focus where people
// left it, copy, and tell a date in the visitor's own time zone. htmx does the
// rest. Nothing is stored anywhere.
"use strict";
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  let opener = ""; // id of what opened the dialog
  let more = null; // where a list goes on, when more of it is asked for

  // Opening: the server sends a dialog, and only a script can show it modally.
  function show(dialog) {
    dialog.addEventListener("close", () => {
      dialog.remove();
      focusOpener();
    });
    dialog.showModal();
    tellExpiry();
  }

  function focusOpener() {
    const back = opener && document.getElementById(opener);
    (back || find("h1"))?.focus();
  }

  document.addEventListener("htmx:before:request", (event) => {
    const source = event.detail.ctx?.sourceElement;
    const row = source?.closest("tr.more");
    more = row && { body: row.parentElement, at: row.sectionRowIndex };
    if (source?.id && source.matches("button") && !source.closest("dialog")) opener = source.id;
  });

  document.addEventListener("htmx:after:swap", (event) => {
    announce(event.detail.ctx?.target);
    const dialog = find("#dialog > dialog:not([open])");
    if (dialog) return show(dialog);
    find("#dialog .fault")?.focus();
    if (find("#dialog > dialog")) return;
    const secret = find("#secret:not([data-met])");
    if (secret) {
      secret.dataset.met = "";
      secret.focus();
      secret.scrollIntoView({ block: "nearest" });
      return;
    }
    if (document.activeElement !== document.body) return;
    // The button that was pressed has gone: what it brought comes next.
    const next = more?.body.isConnected && find("a, button", more.body.rows[more.at]);
    if (next) next.focus({ preventScroll: true });
    else focusOpener();
  });

  // Who can't see a list change is told what it has become.
  function announce(target) {
    const list = target instanceof Element && target.matches("#keys, #audit") && target;
    if (!list) return;
    find("#says").textContent = find("caption, h2", list)?.textContent ?? "";
  }

  // A gateway that can't be reached answers nothing that could be shown.
  document.addEventListener("htmx:error", (event) => {
    if (event.detail.ctx?.response) return;
    const notice = document.createElement("div");
    notice.className = "alert fault";
    notice.setAttribute("role", "alert");
    notice.textContent = "The gateway can't be reached. If you were changing something, look whether it was changed before you try again.";
    const box = find("#dialog > dialog form") || find("#notice");
    find(".fault", box)?.remove();
    box.prepend(notice);
  });
  document.addEventListener("htmx:before:swap", () => find(":is(#notice, #dialog) .fault")?.remove());

  // Only the browser knows its time zone.
  document.addEventListener("htmx:config:request", (event) => {
    const body = event.detail.ctx.request.body;
    const date = body instanceof FormData && body.get("date");
    if (!date) return;
    const time = new Date(date);
    if (!isNaN(time)) body.set("instant", time.toISOString());
  });

  // So does it know which day "in 30 days" is.
  const day = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
  function tellExpiry() {
    const hint = find("#h-expiry");
    const chosen = find("#f-expiry")?.selectedOptions[0];
    if (!chosen) return;
    const ends = chosen.dataset.at ? new Date(chosen.dataset.at) : new Date(Date.now() + chosen.dataset.after * 1000);
    hint.textContent = chosen.value === "never" ? hint.dataset.never : isNaN(ends) ? "" : day.format(ends);
  }
  document.addEventListener("change", (event) => { if (event.target.id === "f-expiry") tellExpiry(); });

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false; // no permission, or a plain http address other than localhost
    }
  }

  async function copySecret(panel) {
    const text = find(".secret-text code", panel);
    const copied = await copy(text.textContent);
    if (!copied) getSelection().selectAllChildren(text);
    find(".copied", panel).textContent = copied ? "Copied to the clipboard." : "The browser does not let us copy: press Ctrl+C or ⌘C now.";
  }

  async function copyText(button) {
    const copied = await copy(button.dataset.copy);
    find("#says").textContent = copied ? "Copied." : "Could not copy: select the text instead.";
    const before = button.innerHTML;
    button.textContent = copied ? "Copied" : "Select it instead";
    setTimeout(() => { button.innerHTML = before; }, 2000);
  }

  const forget = () => find("#shown")?.replaceChildren();

  const does = {
    "[data-close]": (button) => button.closest("dialog").close(),
    "[data-copy-secret]": (button) => copySecret(button.closest(".secret")),
    "[data-copy]": copyText,
    "[data-saved]": () => { forget(); find("h1").focus(); },
    // The head of a column is a short way to the menu of orders.
    "[data-sort]": (button) => {
      const menu = find("#sort");
      menu.value = button.dataset.sort === "newest" ? "" : button.dataset.sort;
      opener = button.id;
      menu.dispatchEvent(new Event("change", { bubbles: true }));
    },
    "[data-add-endpoint]": (button) => {
      const rows = find(".rows", button.parentElement);
      rows.append(find("template", button.parentElement).content.cloneNode(true));
      find("input", rows.lastElementChild).focus();
    },
    "[data-set-all]": (button) => {
      for (const radio of button.closest(".restricted").querySelectorAll(`.seg input[value="${button.dataset.setAll}"]`)) radio.checked = true;
    },
    "[data-set-endpoints]": (button) => {
      for (const menu of button.closest(".endpoints").querySelectorAll(".endpoint select")) menu.value = button.dataset.setEndpoints;
    },
  };
  document.addEventListener("click", (event) => {
    for (const selector in does) {
      const button = event.target.closest(selector);
      if (!button) continue;
      does[selector](button);
      return tell(button);
    }
  });

  // Whoever changes what a key may do is told what it did lately that would
  // be refused.
  const tell = (element) => element.closest(".modes")?.dispatchEvent(new Event("permissions", { bubbles: true }));
  document.addEventListener("change", (event) => tell(event.target));

  // A page that is left must not hold a secret: the browser may keep it whole
  // for its back button.
  addEventListener("pagehide", forget);
  // Nor must anybody leave it by mistake.
  addEventListener("beforeunload", (event) => { if (find("#secret")) event.preventDefault(); });
})();
