# SPDX-License-Identifier: GPL-2.0
"""Draws a chart of horizontal bars as SVG. scripts/bench.py and scripts/torture_report.py use it."""

from xml.sax.saxutils import escape

WIDTH, HEAD, ROW, BAR, FOOT = 860, 84, 24, 14, 50
GREEN, BLUE, RED, ORANGE, INK, PALE = "#3b7a57", "#31669e", "#b5301d", "#b5651d", "#222", "#888"


def text(x, y, content, size=12, fill=INK, anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
            f'text-anchor="{anchor}">{escape(content)}</text>')


def bars(title, subtitle, rows, ticks, legend=(), left=300, right=190):
    """Returns the chart.

    A row has `name`, `length` (0 to 1), `color`, `label` (behind the bar), and may have `dot`
    (0 to 1) and `note` (at the right margin). A tick is (0 to 1, words). A legend is (words, color).
    """
    scale, bottom = WIDTH - left - right, HEAD + ROW * len(rows)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + FOOT}" '
             f'viewBox="0 0 {WIDTH} {bottom + FOOT}" font-family="sans-serif">',
             f'<rect width="{WIDTH}" height="{bottom + FOOT}" fill="#fff"/>',
             text(16, 26, title, 16), text(16, 46, subtitle, 12, PALE)]
    for at, words in ticks:
        x = left + at * scale
        lines += [f'<line x1="{x:.1f}" y1="{HEAD - 8}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>',
                  text(x, HEAD - 14, words, 11, PALE, "middle")]
    for i, row in enumerate(rows):
        y = HEAD + ROW * i
        middle, end = y + BAR / 2 + 4, left + row["length"] * scale
        lines += [text(left - 10, middle, row["name"], anchor="end"),
                  f'<rect x="{left}" y="{y}" width="{end - left:.1f}" height="{BAR}" '
                  f'fill="{row["color"]}"/>']
        if "dot" in row:
            end = left + row["dot"] * scale
            lines.append(f'<circle cx="{end:.1f}" cy="{y + BAR / 2:.1f}" r="4" '
                         f'fill="{row["color"]}"/>')
        lines.append(text(end + 9, middle, row["label"]))
        if row.get("note"):
            lines.append(text(WIDTH - 16, middle, row["note"], 12, row.get("ink", PALE), "end"))
    for i, (words, color) in enumerate(legend):
        lines.append(text(16 + 270 * i, bottom + 28, words, 12, color))
    return "\n".join([*lines, "</svg>", ""])
