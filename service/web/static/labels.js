// Fills the list of the model's labels, once somebody wants to name one. Without this, labels are typed.
const list = document.getElementById("labels");
async function fill() {
  if (list.childElementCount) return;
  const answer = await fetch("/v1/labels");
  if (!answer.ok) return;
  const { labels } = await answer.json();
  list.replaceChildren(...[...new Set(labels)].map((label) => Object.assign(document.createElement("option"), { value: label })));
}
document.addEventListener("focusin", (event) => {
  if (list && event.target.matches?.("input[list=labels]")) fill();
});
