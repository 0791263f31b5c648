// The page is files alone, and a browser reads no data file of a folder but a script: data/index.js and data/NNN.js call
// these two functions. The address says what is shown, so that every view can be linked: #/examples?q=..&page=2,
// #/example/<id>, #/problems?benchmark=...
"use strict";
const ROWS = 50; // examples shown at once
const FIELDS = ["id", "title", "package", "licence", "category", "difficulty", "rate", "file"];
const lineage = { pages: new Map(), waiting: new Map() };
lineage.index = (found) => {
  lineage.about = found.about;
  lineage.problems = found.problems;
  lineage.examples = found.examples.map((row) => Object.fromEntries(FIELDS.map((name, place) => [name, row[place]])));
  lineage.byId = new Map(lineage.examples.map((row) => [row.id, row]));
  lineage.near = new Map();
  for (const problem of found.problems) {
    if (problem.example) lineage.near.set(problem.example, [...(lineage.near.get(problem.example) ?? []), problem]);
  }
  start();
};
lineage.page = (file, examples) => {
  lineage.pages.set(file, new Map(examples.map((one) => [one.id, one])));
  lineage.waiting.get(file)?.();
};
window.lineage = lineage;

const $ = (id) => document.getElementById(id);

// An element with children; text is only ever text, whatever a model wrote.
function make(tag, given = {}, ...children) {
  const element = Object.assign(document.createElement(tag), given);
  element.append(...children);
  return element;
}

function load(file) {
  if (lineage.pages.has(file)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    lineage.waiting.set(file, resolve);
    const fault = () => reject(new Error(`data/${file}.js is missing: write the page again with make lineage`));
    document.head.append(make("script", { src: `data/${file}.js`, onerror: fault }));
  });
}

function address() {
  const [path, query] = location.hash.slice(2).split("?");
  return { view: path.split("/")[0] || "examples", id: path.split("/")[1], asked: new URLSearchParams(query) };
}

function options(select, values, any = "any") {
  select.replaceChildren(make("option", { value: "" }, any), ...[...new Set(values)].sort().map((value) => make("option", { value }, value)));
}

function start() {
  $("about").textContent = lineage.about;
  for (const name of ["package", "licence", "category", "difficulty"]) {
    options($("filters").elements[name], lineage.examples.map((row) => row[name]));
  }
  options($("outcomes").elements.benchmark, lineage.problems.map((row) => row.benchmark), "all");
  for (const [form, view] of [["filters", "examples"], ["outcomes", "problems"]]) {
    $(form).addEventListener("submit", (event) => event.preventDefault());
    $(form).addEventListener("input", () => {
      const asked = new URLSearchParams([...new FormData($(form))].filter(([, value]) => value));
      history.replaceState(null, "", `#/${view}?${asked}`);
      show(false);
    });
  }
  $("previous").onclick = () => turn(-1);
  $("next").onclick = () => turn(1);
  window.addEventListener("hashchange", () => show(true));
  show(false);
}

function turn(by) {
  const { asked } = address();
  asked.set("page", Number(asked.get("page") ?? 0) + by);
  location.hash = `/examples?${asked}`;
}

async function show(focus) {
  const { view, id, asked } = address();
  const shown = { examples: "examples", problems: "problems", example: "example" }[view] ?? "examples";
  for (const section of ["examples", "problems", "example"]) $(section).hidden = section !== shown;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${shown}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (shown === "example") await follow(id);
  else if (shown === "problems") problems(asked);
  else examples(asked);
  if (focus) $("main").focus();
}

function rateFits(rate, asked) {
  const highest = Number(asked);
  return !asked || (rate <= highest && rate > { 0.25: -1, 0.5: 0.25, 1: 0.5 }[highest]);
}

function examples(asked) {
  const form = $("filters").elements;
  for (const name of ["q", "package", "licence", "category", "difficulty", "rate"]) {
    if (document.activeElement !== form[name]) form[name].value = asked.get(name) ?? "";
  }
  const words = (asked.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const equal = ["package", "licence", "category", "difficulty"].filter((name) => asked.get(name));
  const found = lineage.examples.filter(
    (row) =>
      equal.every((name) => row[name] === asked.get(name)) &&
      rateFits(row.rate, asked.get("rate")) &&
      words.every((word) => `${row.id} ${row.package} ${row.title}`.toLowerCase().includes(word)),
  );
  const pages = Math.max(1, Math.ceil(found.length / ROWS));
  const page = Math.min(Number(asked.get("page") ?? 0), pages - 1);
  $("count").textContent = `${found.length} of ${lineage.examples.length} examples`;
  $("list").replaceChildren(
    ...found.slice(page * ROWS, (page + 1) * ROWS).map((row) =>
      make(
        "li",
        {},
        make("a", { href: `#/example/${row.id}` }, row.title),
        make("span", { className: "facts" }, `${row.package} · ${row.licence} · ${row.category} · ${row.difficulty} · ${Math.round(100 * row.rate)} % of the answers pass`),
      ),
    ),
  );
  $("place").textContent = `page ${page + 1} of ${pages}`;
  $("previous").disabled = page === 0;
  $("next").disabled = page === pages - 1;
}

function outcome(row) {
  if (row.after > row.before) return "gained";
  if (row.after < row.before) return "lost";
  return row.after > 0 ? "both" : "neither";
}

function problems(asked) {
  for (const name of ["benchmark", "outcome"]) $("outcomes").elements[name].value = asked.get(name) ?? "";
  const found = lineage.problems.filter(
    (row) =>
      (!asked.get("benchmark") || row.benchmark === asked.get("benchmark")) &&
      (!asked.get("outcome") || outcome(row) === asked.get("outcome")),
  );
  $("problem-count").textContent = `${found.length} of ${lineage.problems.length} problems`;
  $("rows").replaceChildren(
    ...found.map((row) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, `${row.benchmark}: ${row.task}`),
        make("td", {}, solved(row.before)),
        make("td", {}, solved(row.after)),
        make("td", {}, row.example ? make("a", { href: `#/example/${row.example}` }, lineage.byId.get(row.example)?.title ?? row.example) : "none"),
        make("td", {}, row.example ? `${(100 * row.similarity).toFixed(1)} %` : ""),
      ),
    ),
  );
}

function solved(share) {
  if (share === 0 || share === 1) return share ? "solved" : "not solved";
  return `${Math.round(100 * share)} % solved`;
}

async function follow(id) {
  const article = $("example");
  const row = lineage.byId.get(id);
  if (!row) {
    article.replaceChildren(make("h2", {}, "There is no such example"), make("p", {}, `No training example of this run has the id ${id}.`));
    return;
  }
  try {
    await load(row.file);
  } catch (error) {
    article.replaceChildren(make("h2", {}, "Its data is missing"), make("p", {}, error.message));
    return;
  }
  if (address().id !== id) return; // while the file came, another example was asked for
  const one = lineage.pages.get(row.file).get(id);
  const code = (text) => make("pre", { tabIndex: 0 }, make("code", {}, text));
  const answers = one.answers.map((answer) =>
    make(
      "details",
      { open: answer.drawn, className: answer.drawn ? "drawn" : "" },
      make("summary", {}, `Answer ${answer.sample + 1}: ${answer.verdict}${answer.drawn ? ", drawn for training" : ""}`),
      ...(answer.detail ? [make("p", {}, answer.detail)] : []),
      ...(answer.code === null ? [code(answer.text)] : [code(answer.code), make("p", {}, "Its tests:"), code(answer.tests)]),
    ),
  );
  const near = lineage.near.get(id) ?? [];
  article.replaceChildren(
    make("h2", {}, row.title),
    make("p", { className: "facts" }, `id ${id} · ${row.category} · ${row.difficulty} · model ${one.model.slice(0, 12)} · ${one.engine} · sampling seed ${one.seed}`),
    make("h3", {}, "1. The source"),
    make("p", {}, one.place),
    code(one.code),
    make("h3", {}, "2. The concepts"),
    make("p", {}, one.concepts ? one.concepts.join(", ") : "None: the task was made straight from the source."),
    make("h3", {}, "3. The task"),
    make("blockquote", {}, one.instruction),
    make("h3", {}, "4. All answers that came to an end, and their verdicts"),
    make("p", {}, one.why),
    ...answers,
    make("h3", {}, "5. What its tests notice"),
    one.mutants
      ? make("p", {}, `${one.mutants} programs that differ from it in one operator or constant were run on its tests; ${one.survived.length} of them pass, too:`)
      : make("p", {}, "No changed program was run on its tests."),
    ...one.survived.map(code),
    make("h3", {}, "6. Passing answers to tasks without an example that are much like it"),
    one.alike.length
      ? make("p", {}, "They are not in the training set; notebook 03 says by which rules answers are left out.")
      : make("p", {}, "There are none."),
    ...one.alike.map((each) =>
      make("details", {}, make("summary", {}, `${(100 * each.similarity).toFixed(0)} % of runs of three tokens shared: ${each.instruction}`), code(each.code)),
    ),
    make("h3", {}, "7. What the model is trained on"),
    make("blockquote", {}, one.response),
    make("h3", {}, "8. The benchmark problems to which no other example is nearer"),
    near.length
      ? make("ul", {}, ...near.map((each) => make("li", {}, `${each.benchmark}: ${each.task} (similarity ${(100 * each.similarity).toFixed(1)} %; ${solved(each.before)} before, ${solved(each.after)} after)`)))
      : make("p", {}, "There are none."),
  );
}
