// Show the chosen picture before it is sent. The page works without this.
const field = document.getElementById("image");
const preview = document.getElementById("preview");
field.addEventListener("change", () => {
  const [file] = field.files;
  preview.hidden = !file;
  if (file) preview.src = URL.createObjectURL(file);
});
