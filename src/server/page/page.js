const local = () => {
  for (const t of document.querySelectorAll('time')) {
    t.title = t.textContent;
    t.textContent = new Date(t.dateTime).toLocaleString(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'medium' });
  }
};
local();
setInterval(async () => {
  try {
    if (document.hidden || document.activeElement.type === 'search') return;
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const old of document.querySelectorAll('details')) {
      const same = fresh.getElementById(old.id);
      if (same) same.open = old.open;
    }
    const focused = document.activeElement.id;
    document.querySelector('main').replaceWith(fresh.querySelector('main'));
    local();
    if (focused) document.getElementById(focused)?.focus();
  } catch {}
}, 5000);
