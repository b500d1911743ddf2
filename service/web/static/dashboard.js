// Draws the dashboard's charts from the same JSON that programs get. The tables below say the same without this.
const charts = document.querySelector(".charts");
const style = getComputedStyle(document.documentElement);
const colour = (name) => {
  const probe = document.createElement("i");
  probe.className = `colour-${name}`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
};

async function draw() {
  if (!charts || !window.Chart) return;
  const answer = await fetch(charts.dataset.address);
  if (!answer.ok) return;
  const shown = await answer.json();
  const palette = [0, 1, 2, 3, 4, 5].map((number) => colour(number));
  const ink = colour("ink");
  const line = colour("line");
  Chart.defaults.color = ink;
  Chart.defaults.borderColor = line;
  Chart.defaults.font.family = style.fontFamily || "system-ui, sans-serif";
  Chart.defaults.animation = matchMedia("(prefers-reduced-motion: reduce)").matches ? false : { duration: 300 };
  Chart.defaults.maintainAspectRatio = false;
  const short = (release) => release.slice(0, 12);
  const whole = { beginAtZero: true, ticks: { precision: 0 } };

  new Chart("days", {
    type: "bar",
    data: {
      labels: shown.days,
      datasets: shown.series.map(({ release, predictions }, number) => ({
        label: short(release),
        data: predictions,
        backgroundColor: palette[number % palette.length],
      })),
    },
    options: { scales: { x: { stacked: true, grid: { display: false } }, y: { ...whole, stacked: true } } },
  });
  new Chart("labels-chart", {
    type: "bar",
    data: {
      labels: shown.labels.map(({ label }) => label),
      datasets: [{ data: shown.labels.map(({ predictions }) => predictions), backgroundColor: palette[0] }],
    },
    options: { indexAxis: "y", plugins: { legend: { display: false } }, scales: { x: whole, y: { grid: { display: false } } } },
  });
  new Chart("confidence", {
    type: "bar",
    data: {
      labels: shown.total.confidence.map((_, tenth) => `${tenth * 10}–${tenth * 10 + 10} %`),
      datasets: [{ data: shown.total.confidence, backgroundColor: palette[1], categoryPercentage: 1, barPercentage: 0.95 }],
    },
    options: { plugins: { legend: { display: false } }, scales: { x: { grid: { display: false } }, y: whole } },
  });
  const releases = [...shown.releases].reverse().slice(-8);
  new Chart("latency", {
    type: "bar",
    data: {
      labels: releases.map(({ release }) => short(release)),
      datasets: ["p50", "p95", "p99"].map((name, number) => ({
        label: name,
        data: releases.map(({ milliseconds }) => milliseconds[name]),
        backgroundColor: palette[number],
      })),
    },
    options: { scales: { x: { grid: { display: false } }, y: { beginAtZero: true, title: { display: true, text: "ms" } } } },
  });
  new Chart("accuracy", {
    type: "bar",
    data: {
      labels: releases.map(({ release, judged }) => `${short(release)} (${judged})`),
      datasets: [
        ["top1", "first label"],
        ["top5", "among the five"],
      ].map(([name, label], number) => ({
        label,
        data: releases.map((summary) => (summary[name] === null ? null : summary[name] * 100)),
        backgroundColor: palette[number * 2],
      })),
    },
    options: { scales: { x: { grid: { display: false } }, y: { min: 0, max: 100, title: { display: true, text: "%" } } } },
  });
  charts.dataset.drawn = "yes";
}

draw();
