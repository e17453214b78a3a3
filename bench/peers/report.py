"""Medians, a table for people, JSON for machines, a plot."""

import json
import os
import platform
import statistics
from html import escape

# As in bench/src/harness/plot.rs: space for labels, the longest bar and values; height of a bar.
LABELS, LONGEST, VALUES, STEP, HEAD = 250, 420, 170, 30, 40


def machine():
    """What it ran on."""
    text = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
    models = [line.split(":", 1)[1].strip() for line in text.splitlines()
              if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def median(values):
    return statistics.median(values) if values else None


def lines(comparison):
    """A line for each case and size, with what braid is to it, round by round."""
    out = []
    for (name, size), samples in comparison["samples"].items():
        case = comparison["cases"][name]
        line = {
            "case": name, "about": case["about"], "version": case["version"], "size": size,
            "rounds": len(samples),
            "events": samples[0]["items"],
            "seconds": median([s["seconds"] for s in samples]),
            "cpu_s": median([s["cpu_s"] for s in samples]),
            "events_per_cpu_s": median([s["items"] / s["cpu_s"] for s in samples]),
            "peak_rss_bytes": median([s["peak_rss_bytes"] for s in samples]),
            "ratios": {},
        }
        for ours in comparison["ours"]:
            theirs = comparison["samples"].get((ours, size))
            if ours == name or not theirs:
                continue
            # Both did a round right after one another, so what disturbs the machine meets both.
            by_round = {s["round"]: s for s in theirs}
            pairs = [(by_round[s["round"]], s) for s in samples if s["round"] in by_round]
            ratios = [(a["items"] / a["cpu_s"]) / (b["items"] / b["cpu_s"]) for a, b in pairs]
            if ratios:
                line["ratios"][ours] = {
                    "median": median(ratios), "least": min(ratios), "most": max(ratios)}
        goal = case.get("goal")
        if goal:
            ratio = line["ratios"].get(goal["of"])
            reached = bool(ratio) and ratio["median"] >= goal["least"]
            line["goal"] = {**goal, "reached": reached}
        out.append(line)
    return out


def ratio_text(line, ours):
    if ours == line["case"] or ours not in line["ratios"]:
        return ""
    ratio = line["ratios"][ours]
    text = f"{short(ratio['median'])} ({short(ratio['least'])} to {short(ratio['most'])})"
    goal = line.get("goal")
    if goal and goal["of"] == ours:
        text += f" [>= {goal['least']} {'reached' if goal['reached'] else 'not reached'}]"
    return text


def short(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(report):
    """For people."""
    box = report["machine"]
    out = [f"{box['processor']}, {box['cores']} cores, {box['memory_bytes'] / 2**30:.0f} GB, "
           f"{box['system']}; braid {report['braid']}"]
    for comparison in report["comparisons"]:
        ours = comparison["ours"]
        head = ["case", "events", "seconds", "CPU s", "events/CPU s", "peak MB"]
        rows = [head + [f"{name} is ... times it" for name in ours]]
        for line in comparison["lines"]:
            rows.append([
                line["case"], f"{line['events']:,}", f"{line['seconds']:.1f}",
                f"{line['cpu_s']:.1f}", f"{line['events_per_cpu_s']:,.0f}",
                f"{line['peak_rss_bytes'] / 1e6:,.0f}",
                *(ratio_text(line, name) for name in ours)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        out += ["", f"{comparison['name']}: {comparison['about']}", ""]
        for row in rows:
            cells = [cell.ljust(width) if column in (0, *range(6, len(row))) else cell.rjust(width)
                     for column, (cell, width) in enumerate(zip(row, widths))]
            out.append("  ".join(cells).rstrip())
        out += ["", *(f"{name}: {case['about']} {case['version']}".rstrip()
                      for name, case in comparison["cases"].items())]
        out += agreement(comparison)
        out += comparison["notes"]
    return "\n".join(out)


def agreement(comparison):
    """Whether all came to the same answer, if any was asked for one."""
    if not comparison["answers"]:
        return []
    answer, refused = json.dumps(comparison["answers"]), comparison["refused"]
    if not refused:
        return [f"The answers are the same: {answer}"]
    return [f"THE ANSWERS DIFFER. Left out: {'; '.join(refused)}. The others say: {answer}"]


def plot(comparison):
    """Events by CPU second, a bar for each line."""
    list_ = comparison["lines"]
    most = max((line["events_per_cpu_s"] for line in list_), default=1)
    width, height = LABELS + LONGEST + VALUES, HEAD + STEP * len(list_) + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="22" font-size="15">{escape(comparison["name"])}: thousand events by '
        'CPU second</text>']
    for place, line in enumerate(list_):
        top, value = HEAD + STEP * place, line["events_per_cpu_s"]
        length = value / most * LONGEST
        fill = "#3b6ea5" if line["case"] in comparison["ours"] else "#a0a0a0"
        label = f"{line['case']}, {line['events'] / 1e6:.3g} M"
        out += [
            f'<text x="{LABELS - 8}" y="{top + 15}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LABELS}" y="{top}" width="{length:.1f}" height="20" fill="{fill}"/>',
            f'<text x="{LABELS + length + 6:.1f}" y="{top + 15}">{value / 1e3:,.1f}</text>']
    return "\n".join([*out, "</svg>", ""])


def as_json(report):
    """For machines."""
    kept = [{key: value for key, value in comparison.items() if key not in ("samples", "cases")}
            for comparison in report["comparisons"]]
    return json.dumps({**report, "comparisons": kept}, indent=2)
