// Loaded before the rest, so that a chosen theme shows from the first paint on.
const chosen = localStorage.getItem("theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
