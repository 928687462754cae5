// Asks for the newest calls every two seconds, and shows them where they differ.
"use strict";
const calls = document.querySelector("[data-live]");
const statusLine = document.getElementById("status");

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch(calls.dataset.live);
    if (!answer.ok) return say(`The answer was ${answer.status}: reload this page`);
    show(new DOMParser().parseFromString(await answer.text(), "text/html").body);
    const newest = calls.querySelector("tbody a");
    say(newest ? `Live, newest call ${newest.textContent.trim()}` : "Live, no calls yet");
  } catch {
    say("No answer: is the inspector still running?");
  }
}

function show(found) {
  if (found.innerHTML.trim() === calls.innerHTML.trim()) return;
  const focused = calls.contains(document.activeElement) && document.activeElement.getAttribute("href");
  calls.replaceChildren(...found.childNodes);
  if (focused) calls.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function say(text) { // only what is new is read aloud
  if (statusLine.textContent !== text) statusLine.textContent = text;
}

if (calls) {
  look();
  setInterval(look, 2000);
}
