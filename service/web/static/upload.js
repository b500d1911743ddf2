// Pictures by drag and drop, several at a time, with previews and progress; answers are saved in place.
// The form works without this: the page then comes back with all answers.
import("/static/labels.js");

const form = document.getElementById("upload");
const field = document.getElementById("image");
const drop = form.querySelector(".drop");
const answers = document.getElementById("answers");
const said = document.getElementById("status");
let most = 1; // the first answer brings a guest's cookie, which the next uploads have to carry
const waiting = [];
let busy = 0;

form.querySelector("[data-drop]").hidden = false;
form.querySelector("[data-send]").hidden = true;
field.required = false;
field.classList.add("visually-hidden");

field.addEventListener("change", () => {
  take(field.files);
  field.value = "";
});
for (const name of ["dragover", "dragenter"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) take(event.clipboardData.files);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  field.click();
});

function take(files) {
  document.querySelector(".steps")?.remove();
  for (const file of files) {
    const card = waitingCard(file);
    answers.prepend(card.element);
    waiting.push({ file, card });
  }
  next();
}

function next() {
  while (busy < most && waiting.length) {
    busy += 1;
    send(waiting.shift());
  }
}

function send({ file, card }) {
  const data = new FormData();
  data.append("image", file, "picture"); // the name of the file is nobody's business
  const request = new XMLHttpRequest();
  request.open("POST", "/");
  request.setRequestHeader("X-Fragment", "answers");
  request.setRequestHeader("Accept", "text/html");
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) card.show(event.loaded / event.total);
  });
  request.addEventListener("load", () => {
    const wait = Number(request.getResponseHeader("Retry-After"));
    if (request.status === 429 && wait && wait <= 30) {
      card.say(`Many pictures are waiting: trying again in ${wait} s`);
      setTimeout(() => finish(() => waiting.push({ file, card })), wait * 1000);
      return;
    }
    finish(() => card.replace(request.responseText, file));
  });
  request.addEventListener("error", () => finish(() => card.say("The service could not be reached. Try again.", true)));
  request.send(data);
}

function finish(then) {
  busy -= 1;
  most = 2;
  then();
  next();
}

function waitingCard(file) {
  const element = document.createElement("article");
  element.className = "card answer waiting";
  const image = document.createElement("img");
  image.className = "picture";
  image.alt = "The picture that is being uploaded";
  image.src = URL.createObjectURL(file);
  image.addEventListener("error", () => image.remove());
  const side = document.createElement("div");
  const text = document.createElement("p");
  text.textContent = "Uploading…";
  const progress = document.createElement("progress");
  progress.setAttribute("aria-label", "Upload");
  side.append(text, progress);
  element.append(image, side);
  return {
    element,
    show(share) {
      progress.value = share;
      if (share === 1) {
        text.textContent = "Recognising…";
        progress.removeAttribute("value");
      }
    },
    say(message, failed = false) {
      text.textContent = message;
      if (failed) {
        text.className = "problem";
        progress.remove();
      }
    },
    replace(html, file) {
      URL.revokeObjectURL(image.src);
      const made = parsed(html);
      for (const refused of made.filter((part) => part.matches(".refused, .problem"))) {
        refused.prepend(Object.assign(document.createElement("b"), { textContent: file.name }));
      }
      said.textContent = made.map((part) => part.getAttribute("aria-label") || part.textContent.trim()).join(". ");
      element.replaceWith(...made);
    },
  };
}

// What comes back was rendered by our own templates, which escape everything that people typed.
function parsed(html) {
  const made = new DOMParser().parseFromString(html, "text/html");
  return [...made.body.children].map((part) => document.adoptNode(part));
}

answers.addEventListener("submit", async (event) => {
  const save = event.target.closest("form[data-fragment]");
  if (!save) return;
  event.preventDefault();
  const button = save.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(save.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(save)),
      headers: { "X-Fragment": "answers", Accept: "text/html" },
    });
    const parts = parsed(await answer.text());
    const card = save.closest("article");
    if (parts[0]?.tagName === "ARTICLE") {
      card.replaceWith(...parts);
      said.textContent = answer.ok ? "Saved" : "Not saved";
      parts[0].querySelector(".problem, .saved a")?.focus?.();
    } else {
      save.before(...parts);
    }
  } catch {
    said.textContent = "The service could not be reached";
    button.disabled = false;
  }
});
