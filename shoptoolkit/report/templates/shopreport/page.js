(function () {
  var doc = document, root = doc.documentElement;
  function all(query, within) { return [].slice.call((within || doc).querySelectorAll(query)); }
  function keep(value) { try { localStorage.setItem("shoptoolkit-theme", value); } catch (e) {} }
  try { var kept = localStorage.getItem("shoptoolkit-theme"); if (kept) root.dataset.theme = kept; } catch (e) {}
  all("button.act,[data-scripted]").forEach(function (control) { control.hidden = false; }); /* of no use without a script */

  var theme = doc.getElementById("shop-theme");
  function isDark() { return root.dataset.theme ? root.dataset.theme == "dark" : matchMedia("(prefers-color-scheme:dark)").matches; }
  function nameTheme() { theme.lastElementChild.textContent = isDark() ? "Light" : "Dark"; }
  theme.onclick = function () { root.dataset.theme = isDark() ? "light" : "dark"; keep(root.dataset.theme); nameTheme(); };
  matchMedia("(prefers-color-scheme:dark)").addEventListener("change", nameTheme); nameTheme();

  var fold = doc.getElementById("shop-fold"), sources = all("details.src:not(.aside)");
  if (fold && !sources.length) fold.hidden = true;
  if (fold) fold.onclick = function () {
    var open = root.dataset.code != "open";
    root.dataset.code = open ? "open" : "";
    sources.forEach(function (x) { x.open = open || x.hasAttribute("data-open"); });
    fold.lastElementChild.textContent = open ? "Fold code" : "Show code";
    fold.setAttribute("aria-pressed", open);
  };

  var toc = doc.querySelector(".toc details");
  if (toc) {
    var wide = matchMedia("(min-width:1001px)"), links = all(".toc a");
    var set = function () { toc.open = wide.matches; };
    set(); wide.addEventListener("change", set);
    doc.querySelector(".toc summary").addEventListener("click", function (e) { if (wide.matches) e.preventDefault(); });
    links.forEach(function (a) { a.addEventListener("click", function () { if (!wide.matches) toc.open = false; }); });
    var mark = function () {
      var now = links[0];
      links.forEach(function (a) {
        var s = doc.getElementById(decodeURIComponent(a.hash.slice(1)));
        if (s && s.getBoundingClientRect().top < innerHeight * .3) now = a;
      });
      links.forEach(function (a) { if (a == now) a.setAttribute("aria-current", "true"); else a.removeAttribute("aria-current"); });
    };
    addEventListener("scroll", mark, { passive: true }); mark();
  }

  /* tables: sort by a click on the head; numbers by data-v, words by locale, empty and refused rows last */
  var refused = function (row) { return row.classList.contains("refused"); };
  var isNumber = function (v) { return /^-?(\d+\.?\d*(e[-+]?\d+)?|inf)$/i.test(v); };
  function exact(v) { return /^-?\d+$/.test(v) ? BigInt(v) : Number(v.replace("inf", "Infinity")); }
  function value(row, place) {
    var cell = row.cells[place], v = cell.getAttribute("data-v");
    if (v === null) return cell.textContent;
    return isNumber(v) ? exact(v) : "";
  }
  function compare(a, b) {
    if (typeof a == "string" && typeof b == "string") return a.localeCompare(b, undefined, { numeric: true });
    return a < b ? -1 : a > b ? 1 : 0;
  }
  function sortable(table) {
    var body = table.tBodies[0], given = all("tr", body), heads = all("thead th", table);
    if (given.length < 2 || given.some(function (row) { return row.cells.length != heads.length; })) return;
    heads.forEach(function (th, place) {
      var button = doc.createElement("button");
      button.className = "sort"; button.type = "button";
      button.append.apply(button, [].slice.call(th.childNodes));
      th.append(button); th.setAttribute("aria-sort", "none");
      button.onclick = function () {
        var next = { none: 1, ascending: -1, descending: 0 }[th.getAttribute("aria-sort")];
        heads.forEach(function (other) { other.setAttribute("aria-sort", "none"); });
        th.setAttribute("aria-sort", { 1: "ascending", "-1": "descending", 0: "none" }[next]);
        var rows = given.map(function (row) {
          var v = value(row, place);
          return { row: row, v: v, last: refused(row) ? 2 : v === "" ? 1 : 0 };
        });
        if (next) rows.sort(function (a, b) { return a.last - b.last || (a.last ? 0 : next * compare(a.v, b.v)); });
        rows.forEach(function (one) { body.append(one.row); });
      };
    });
  }

  /* CSV of the rows shown, in their order: exact numbers; words that a spreadsheet would run begin with an apostrophe */
  function rowsOf(table) { return all("tbody tr", table).filter(function (row) { return !row.querySelector("td[colspan]"); }); }
  function field(text) {
    if (isNumber(text) || text == "nan") return text;
    if (/^[\s\u200b-\u200f\ufeff]*[=+\-@\uff0b\uff0d\uff1d\uff20]|^[\t\r\n]/.test(text)) text = "'" + text;
    return '"' + text.replace(/"/g, '""') + '"';
  }
  function csvOf(table) {
    var merged = all("[data-low],[data-high],[data-reason]", table).map(function (cell) { return cell.cellIndex; });
    var parts = ["data-v", "data-low", "data-high", "data-reason"], heads = [];
    all("thead th", table).forEach(function (th, place) {
      heads.push(th.getAttribute("data-column") || th.textContent);
      if (merged.indexOf(place) > -1) heads.push("low", "high", "reason");
    });
    var rows = rowsOf(table).map(function (row) {
      var fields = [];
      [].forEach.call(row.cells, function (cell, place) {
        if (merged.indexOf(place) > -1) parts.forEach(function (part) { fields.push(cell.getAttribute(part) || ""); });
        else fields.push(cell.hasAttribute("data-v") ? cell.getAttribute("data-v") : cell.textContent);
      });
      return fields;
    });
    return "\ufeff" + [heads].concat(rows).map(function (row) { return row.map(field).join(",") + "\r\n"; }).join("");
  }
  function download(name, text) {
    var link = doc.createElement("a"), url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.href = url; link.download = name + ".csv";
    link.click();
    setTimeout(function () { URL.revokeObjectURL(url); }, 60000);
  }
  all(".shop-table").forEach(function (box) {
    var table = box.querySelector("table"), cap = box.querySelector(".cap"), button = doc.createElement("button");
    if (!table || !table.tBodies.length) return;
    if (!cap) { cap = doc.createElement("div"); cap.className = "cap"; box.prepend(cap); }
    var count = rowsOf(table).length, title = cap.querySelector("b");
    title = title ? title.textContent : "table";
    button.className = "csv"; button.type = "button";
    button.textContent = "CSV, " + count + (count == 1 ? " row" : " rows");
    button.setAttribute("aria-label", button.textContent + ", download: " + title);
    button.onclick = function () {
      download(title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60).replace(/^-|-$/g, "") || "table", csvOf(table));
    };
    cap.append(button); sortable(table);
  });

  var find = doc.getElementById("find");
  if (find) find.oninput = function () {
    var words = find.value.trim().toLowerCase(), count = 0;
    all(".item").forEach(function (x) {
      var hit = x.textContent.toLowerCase().indexOf(words) > -1;
      x.hidden = !hit; count += hit;
    });
    doc.getElementById("found").textContent = words ? count + (count == 1 ? " report matches" : " reports match") : "";
  };
})();
