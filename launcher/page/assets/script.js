'use strict';
// Shows parts of the page that the server sends, and does what buttons say. Text from the
// server is either its own HTML, in which everything foreign is escaped, or set as text.

const page = document.documentElement.dataset;
const find = (id) => document.getElementById(id);

// --- parts -------------------------------------------------------------------------

// An action that is under way, as "do daemon peer", survives its button.
const under = new Set();
const keyOf = (b) => [b.dataset.do, b.dataset.daemon, b.dataset.peer].join(' ');

// merge makes have like want and keeps elements that stay, so that focus, selection and
// what is open or scrolled stay as well.
function merge(have, want) {
  if (have.nodeType !== want.nodeType || have.nodeName !== want.nodeName) {
    have.replaceWith(want);
    return;
  }
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
    return;
  }
  for (const { name } of [...have.attributes]) if (!want.hasAttribute(name) && name !== 'open') have.removeAttribute(name);
  for (const { name, value } of want.attributes) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  mergeChildren(have, want);
}

const nameOf = (n) => n.dataset && (n.dataset.key || (n.dataset.do && keyOf(n)) || n.dataset.log);

function mergeChildren(have, want) {
  const named = new Map();
  for (const child of have.childNodes) if (nameOf(child)) named.set(nameOf(child), child);
  const stays = new Set([...want.childNodes].map(nameOf));
  let at = have.firstChild;
  for (const next of [...want.childNodes]) {
    // What is gone goes first: nothing that stays is moved then, which would cost the focus.
    while (at && nameOf(at) && !stays.has(nameOf(at))) {
      const after = at.nextSibling;
      at.remove();
      at = after;
    }
    const name = nameOf(next);
    const mine = name ? named.get(name) : (at && !nameOf(at) ? at : null);
    if (!mine) {
      have.insertBefore(next, at);
      continue;
    }
    named.delete(name);
    if (mine === at) at = at.nextSibling;
    else have.insertBefore(mine, at);
    merge(mine, next);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function showPart({ id, html }) {
  const part = find(id);
  if (!part) return;
  const want = new DOMParser().parseFromString(html, 'text/html').body;
  const had = part.contains(document.activeElement) && document.activeElement;
  mergeChildren(part, want);
  showBusy();
  if (had && !had.isConnected) focusNear(part, had);
}

// Keyboard users stay where they were when their button is another one now.
function focusNear(part, had) {
  const { daemon, peer } = had.dataset;
  const buttons = [...part.querySelectorAll('button')];
  const near = buttons.find((b) => (daemon && b.dataset.daemon === daemon) || (peer && b.dataset.peer === peer)) || buttons[0];
  if (near) near.focus();
}

function showBusy() {
  for (const b of document.querySelectorAll('[data-do]')) {
    if (under.has(keyOf(b))) b.setAttribute('aria-disabled', 'true');
    else b.removeAttribute('aria-disabled');
  }
}

// --- the line to the launcher ------------------------------------------------------

let source = null;
let since = Date.now();
let retry = 0;

function showLine(state, text) {
  const line = find('line');
  line.className = 'line ' + state;
  if (line.textContent !== text) line.textContent = text;
  document.body.classList.toggle('lost', state === 'bad');
}

function lost() {
  showLine('bad', 'no connection since ' + new Date(since).toLocaleTimeString() + '; trying again');
}

function connect() {
  clearTimeout(retry);
  if (source) source.close();
  const mine = source = new EventSource('/page/events');
  source.addEventListener('hello', (e) => {
    const hello = JSON.parse(e.data);
    if (hello.edition !== page.edition) { location.reload(); return; }
    page.instance = hello.instance;
    showLine('good', 'live');
  });
  source.addEventListener('part', (e) => {
    since = Date.now();
    showPart(JSON.parse(e.data));
  });
  source.onerror = async () => {
    lost();
    mine.close();
    // Only a request tells a launcher that is gone from one that wants a login.
    try {
      const answer = await fetch('/page/session');
      if (answer.status === 401) { location.reload(); return; }
    } catch { /* it is gone */ }
    if (source !== mine) return; // the tab was hidden meanwhile
    clearTimeout(retry);
    retry = setTimeout(connect, 1000);
  };
}

// A tab that nobody looks at leaves its connections to others: browsers have few.
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) {
    connect();
    if (logName) followLog();
    return;
  }
  clearTimeout(retry);
  if (source) source.close();
  source = null;
  leaveLog();
});

// --- actions -----------------------------------------------------------------------

let fading = 0;
function notice(text) {
  const box = find('notice');
  box.textContent = text;
  box.hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { box.hidden = true; }, 10000);
}

// post asks for something; what goes wrong is thrown as a sentence.
async function post(path, fields) {
  let answer;
  try {
    answer = await fetch(path, { method: 'POST', headers: { 'X-Panteras-Proof': page.proof }, body: fields && new URLSearchParams(fields) });
  } catch {
    throw new Error('The launcher does not answer.');
  }
  if (answer.status === 204) return {};
  if (answer.status === 401) location.reload();
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  return body;
}

function confirmed(text, yes) {
  const dialog = find('confirm');
  find('confirm-text').textContent = text;
  find('confirm-yes').textContent = yes;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }));
}

const questions = {
  stop: (name) => ['Stop ' + name + '? It stays stopped until it is started again.', 'Stop'],
  restart: (name) => ['Restart ' + name + '?', 'Restart'],
  disable: (name) => ['Disable ' + name + '? Its access ends at once; it can be enabled again.', 'Disable'],
  remove: (name) => ['Remove ' + name + '? Its client file is of no use any more.', 'Remove'],
};

async function act(button) {
  const { do: action, daemon, peer } = button.dataset;
  const key = keyOf(button);
  if (under.has(key)) return;
  const question = questions[action];
  if (question && !await confirmed(...question(daemon || peer))) return;
  under.add(key);
  showBusy();
  try {
    const path = daemon ? '/page/daemons/' + encodeURIComponent(daemon) : '/page/peers/' + encodeURIComponent(peer);
    notice((await post(path + '/' + action)).message);
  } catch (e) {
    notice(e.message);
  }
  under.delete(key);
  showBusy();
}

document.addEventListener('click', (e) => {
  const button = e.target.closest('button');
  if (!button) return;
  if (button.dataset.do) act(button);
  if (button.dataset.log) openLog(button.dataset.log);
});

find('logout').addEventListener('click', async () => {
  try { await post('/page/logout'); } catch { /* it is over either way */ }
  location.reload();
});

// --- names -------------------------------------------------------------------------

find('explain').addEventListener('submit', async (e) => {
  e.preventDefault();
  const box = find('explained');
  box.hidden = false;
  box.textContent = 'looking …';
  try {
    box.textContent = (await post('/page/explain', new FormData(e.target))).text;
  } catch (problem) {
    box.textContent = problem.message;
  }
});

// --- logs --------------------------------------------------------------------------

const mostLines = 2000;
const logRest = 3000;
let logName = '';
let logSource = null;
let logRetry = 0;

function sayLog(state, text) {
  const line = find('log-line');
  line.className = 'line ' + state;
  line.textContent = text;
}

function openLog(name) {
  logName = name;
  find('log-title').textContent = 'Log of ' + name;
  find('log-text').replaceChildren();
  find('log').showModal();
  find('log-text').focus();
  followLog();
}

function leaveLog() {
  clearTimeout(logRetry);
  if (logSource) logSource.close();
  logSource = null;
}

function followLog() {
  leaveLog();
  const box = find('log-text');
  const from = new EventSource('/page/daemons/' + encodeURIComponent(logName) + '/log');
  logSource = from;
  from.addEventListener('hello', () => { box.replaceChildren(); sayLog('good', 'live'); });
  from.addEventListener('line', (e) => {
    const { text, stream, time } = JSON.parse(e.data);
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 30;
    const one = document.createElement('div');
    one.className = stream;
    one.textContent = stream === 'panteras' ? new Date(time).toLocaleTimeString() + ' panteras: ' + text : text;
    box.append(one);
    while (box.childElementCount > mostLines) box.firstElementChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  });
  from.onerror = () => {
    if (from.readyState !== EventSource.CLOSED) { sayLog('bad', 'no connection; trying again'); return; }
    // It was refused, after which a browser does not ask again by itself.
    sayLog('bad', 'refused: too many pages and logs are open, or the daemon is gone; trying again');
    clearTimeout(logRetry);
    logRetry = setTimeout(followLog, logRest);
  };
}

find('log').addEventListener('close', () => {
  logName = '';
  leaveLog();
});

// --- peers -------------------------------------------------------------------------

const peerForm = find('peer-form');

find('add-peer').addEventListener('click', () => {
  peerForm.reset();
  find('peer-problem').hidden = true;
  find('peer').showModal();
  find('peer-name').focus();
});
find('peer-cancel').addEventListener('click', () => find('peer').close());

peerForm.addEventListener('submit', async (e) => {
  e.preventDefault();
  const problem = find('peer-problem');
  const button = peerForm.querySelector('[type=submit]');
  if (button.getAttribute('aria-disabled')) return;
  problem.hidden = true;
  button.setAttribute('aria-disabled', 'true');
  try {
    showIssued(await post('/page/peers', new FormData(peerForm)));
    find('peer').close();
  } catch (failure) {
    problem.textContent = failure.message;
    problem.hidden = false;
  }
  button.removeAttribute('aria-disabled');
});

const offered = [];
function offer(id, name, text) {
  const link = find(id);
  link.hidden = !name;
  if (!name) return;
  const url = URL.createObjectURL(new Blob([text], { type: 'application/octet-stream' }));
  offered.push(url);
  link.href = url;
  link.download = name;
}

function showIssued(issued) {
  find('issued-text').textContent = issued.name + ' has ' + issued.addresses.join(', ') + ' at gateway ' + issued.gateway + '.';
  find('issued-config').textContent = issued.config;
  const qr = find('issued-qr');
  qr.hidden = !issued.qr;
  // Whole pixels for each module, or no telephone reads the code of a long file.
  qr.onload = () => { qr.width = qr.naturalWidth / 2; };
  if (issued.qr) qr.src = 'data:image/png;base64,' + issued.qr;
  offer('issued-file', issued.file, issued.config);
  offer('issued-script', issued.script_file, issued.script);
  find('issued').showModal();
}

find('issued').addEventListener('close', () => {
  // The private key leaves the page.
  find('issued-config').textContent = '';
  find('issued-qr').removeAttribute('src');
  for (const url of offered.splice(0)) URL.revokeObjectURL(url);
});

if (!document.hidden) connect();
