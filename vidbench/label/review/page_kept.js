// What the browser remembers of a set: where one was, and keys that were given. Nothing depends on it.

const name = (folder) => `vidbench label review ${folder}`;

/** What is remembered of a set. */
export function kept(folder) {
  try {
    const told = JSON.parse(localStorage.getItem(name(folder)));
    return told && typeof told === "object" ? told : {};
  } catch {
    return {};
  }
}

/** Remember more. */
export function keep(folder, more) {
  try {
    localStorage.setItem(name(folder), JSON.stringify({ ...kept(folder), ...more }));
  } catch {
    // a browser that keeps nothing starts at the beginning, and that is all
  }
}

/** Where to begin: a reload goes on where this tab was, a new review where the server says. */
export function startPlace({ folder, videos, start }) {
  const last = kept(folder);
  let again = false;
  try {
    again = sessionStorage.getItem(location.pathname) !== null;
    sessionStorage.setItem(location.pathname, "seen");
  } catch {
    // as in `keep`
  }
  const known = videos.some((one) => one.id === last.video);
  return known && (again || last.video === start.video) ? last : start;
}
