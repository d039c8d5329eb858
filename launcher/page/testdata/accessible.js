// What somebody who uses no mouse, or sees little, would stumble over: a list of sentences.
(() => {
  const problems = [];
  const visible = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && e.getClientRects().length > 0;
  const scope = document.querySelector('dialog[open]') || document.body;
  const nameOf = (e) => {
    const by = (e.getAttribute('aria-labelledby') || '').split(/\s+/).filter(Boolean).map((id) => (document.getElementById(id) || { textContent: '' }).textContent);
    const labels = e.labels ? [...e.labels].map((l) => l.textContent) : [];
    return [by.join(' '), e.getAttribute('aria-label'), labels.join(' '), e.matches('input,select,textarea') ? '' : e.textContent, e.getAttribute('alt'), e.title].find((n) => n && n.trim());
  };
  const show = (e) => e.outerHTML.slice(0, 120);
  for (const e of scope.querySelectorAll('a[href],button,input,select,textarea,summary,[tabindex],[role=region],dialog,img,nav,section')) {
    if (visible(e) && !nameOf(e)) problems.push('has no name: ' + show(e));
  }
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) problems.push('the id ' + id + ' is there twice');
  for (const e of document.querySelectorAll('[aria-labelledby],[aria-describedby],label[for]')) {
    for (const id of [e.getAttribute('aria-labelledby'), e.getAttribute('aria-describedby'), e.getAttribute('for')]) {
      for (const one of (id || '').split(/\s+/).filter(Boolean)) if (!document.getElementById(one)) problems.push('names nothing: ' + one + ' in ' + show(e));
    }
  }
  if (!document.documentElement.lang) problems.push('the page has no language');
  if (!document.title) problems.push('the page has no title');
  if (scope === document.body && document.querySelectorAll('main h1, header h1').length !== 1) problems.push('there is not one first heading');
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) {
    problems.push('it is wider than the window: ' + document.documentElement.scrollWidth + ' > ' + document.documentElement.clientWidth);
  }

  const parse = (c) => {
    const n = c.match(/[\d.]+/g).map(Number);
    if (c.startsWith('color(srgb')) return [n[0] * 255, n[1] * 255, n[2] * 255, n[3] ?? 1];
    return [n[0], n[1], n[2], n[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18, 1] : [255, 255, 255, 1]);
  };
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const check = (e, color, what) => {
    const ground = behind(e);
    const ratio = contrast(over(parse(color), ground), ground);
    if (ratio < 4.5) problems.push('contrast ' + ratio.toFixed(2) + ' of ' + what + ' in ' + show(e));
  };
  const walker = document.createTreeWalker(scope, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  for (let n = walker.nextNode(); n; n = walker.nextNode()) {
    const e = n.parentElement;
    if (!n.data.trim() || seen.has(e) || e.matches('script,style,noscript,option') || !visible(e)) continue;
    seen.add(e);
    check(e, getComputedStyle(e).color, JSON.stringify(n.data.trim().slice(0, 30)));
  }
  for (const e of scope.querySelectorAll('input,select')) {
    if (!visible(e)) continue;
    check(e, getComputedStyle(e).color, 'the value');
    if (e.placeholder) check(e, getComputedStyle(e, '::placeholder').color, 'the placeholder');
  }
  if (seen.size === 0) problems.push('there is no text');
  return problems;
})()
