// Questions to the server, and what the page says of their answers.
export async function ask(address, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "x-review": "1" }, body: JSON.stringify(body) };
  const answer = await fetch(address, options);
  const value = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) { say(value.error); throw new Error(value.error); }
  return value;
}

export function say(text) { document.getElementById("said").textContent = text; }
