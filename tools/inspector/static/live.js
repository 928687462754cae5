// Asks every two seconds for this page, or where nothing in it changes for the state at its top,
// and shows each part that is live where it differs.
"use strict";
const statusLine = document.getElementById("status");
const PARTS = "[data-live]";
const KEPT = "a, summary, pre"; // what may have the focus

async function look() {
  if (document.hidden) return;
  const address = document.querySelector(`main ${PARTS}`) ? location.href : "state";
  try {
    const answer = await fetch(address);
    if (!answer.ok) return say(`The answer was ${answer.status}: reload this page`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll(PARTS)) renew(part, page.getElementById(part.id));
    const times = [...document.querySelectorAll("#calls tbody a")].map((link) => link.textContent.trim());
    say(times.length ? `Live, newest call ${times.sort().at(-1)}` : "Live, no call is shown");
  } catch {
    say("No answer: is the inspector still running?");
  }
}

function renew(part, found) {
  if (!found || found.outerHTML === asSent(part)) return;
  const inside = (element) => [...element.querySelectorAll(KEPT)];
  const focused = inside(part).indexOf(document.activeElement);
  const link = document.activeElement.getAttribute("href");
  const open = [...part.querySelectorAll("details")].map((details) => details.open);
  part.replaceWith(found);
  found.querySelectorAll("details").forEach((details, place) => { details.open = open[place]; });
  if (focused < 0) return;
  const same = link ? found.querySelector(`a[href="${CSS.escape(link)}"]`) : inside(found)[focused];
  same?.focus();
}

function asSent(part) { // without what the reader has opened
  const copy = part.cloneNode(true);
  copy.querySelectorAll("details").forEach((details) => { details.open = false; });
  return copy.outerHTML;
}

function say(text) { // only what is new is read aloud
  if (statusLine && statusLine.textContent !== text) statusLine.textContent = text;
}

look();
setInterval(look, 2000);
