"use strict";
(() => {
  const form = document.getElementById("filter");
  const count = document.getElementById("count");
  const items = [...document.querySelectorAll("#list li")];
  const marks = new Map([...document.querySelectorAll(".map use")].map((mark) => [mark.dataset.n, mark]));
  const texts = items.map((item) => item.querySelector(".text").textContent.toLocaleLowerCase());
  const sections = [...document.querySelectorAll("#list .source")];
  const number = new Intl.NumberFormat(document.documentElement.lang);
  const value = (name) => document.getElementById(`f-${name}`)?.value ?? "";

  const apply = () => {
    const words = value("text").trim().toLocaleLowerCase();
    const [source, speaker, sentiment, label] = ["source", "speaker", "sentiment", "label"].map(value);
    let shown = 0;
    items.forEach((item, index) => {
      const fits =
        (!source || item.dataset.source === source) &&
        (!speaker || item.dataset.speaker === speaker) &&
        (!sentiment || item.classList.contains(sentiment)) &&
        (!label || (item.dataset.label ?? "").split(" ").includes(label)) &&
        (!words || texts[index].includes(words));
      item.hidden = !fits;
      marks.get(String(index + 1))?.classList.toggle("dim", !fits);
      shown += fits;
    });
    for (const section of sections) section.hidden = !section.querySelector("li:not([hidden])");
    count.textContent = count.dataset.format
      .replace("{shown}", number.format(shown))
      .replace("{total}", number.format(items.length));
  };

  // A link to a statement that the filter hides shows all statements again.
  const show = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target?.hidden) {
      form.reset();
      apply();
      target.scrollIntoView();
    }
  };

  let timer;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, 120);
  });
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", show);
  document.querySelector(".map")?.addEventListener("click", (event) => {
    const mark = event.target.closest("use");
    if (mark) location.hash = `s${mark.dataset.n}`;
  });
  form.hidden = false;
})();
