(function () {
  var doc = document, root = doc.documentElement;
  function all(query, within) { return [].slice.call((within || doc).querySelectorAll(query)); }
  function keep(value) { try { localStorage.setItem("shoptoolkit-theme", value); } catch (e) {} }
  try { var kept = localStorage.getItem("shoptoolkit-theme"); if (kept) root.dataset.theme = kept; } catch (e) {}
  all("button.act").forEach(function (button) { button.hidden = false; });

  var theme = doc.getElementById("shop-theme");
  function isDark() { return root.dataset.theme ? root.dataset.theme == "dark" : matchMedia("(prefers-color-scheme:dark)").matches; }
  function nameTheme() { theme.lastElementChild.textContent = isDark() ? "Light" : "Dark"; }
  theme.onclick = function () { root.dataset.theme = isDark() ? "light" : "dark"; keep(root.dataset.theme); nameTheme(); };
  nameTheme();

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
