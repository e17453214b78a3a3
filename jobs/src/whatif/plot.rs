//! Charts of before and after as SVG.

use std::fmt::Write as _;

/// Colours of before and after.
const COLOURS: [&str; 2] = ["#9aa5b1", "#2f6fb0"];
/// Width of a chart, of its labels and of the room for values, in pixels.
const WIDTH: f64 = 760.0;
const LABELS: f64 = 200.0;
const VALUES: f64 = 130.0;
/// Height of a bar, and of a pair of them with its gap.
const BAR: f64 = 13.0;
const PAIR: f64 = 36.0;
/// Height of a chart of lines, and its margin.
const HEIGHT: f64 = 180.0;
const MARGIN: f64 = 30.0;

/// Text that can stand in SVG and HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A pair of horizontal bars for each line, to one scale that begins at 0.
pub(super) fn bars(list: &[(String, [f64; 2])], words: impl Fn(f64) -> String) -> String {
    let most = list.iter().flat_map(|(_, pair)| pair).copied().fold(0.0, f64::max);
    let scale = if most > 0.0 { (WIDTH - LABELS - VALUES) / most } else { 0.0 };
    let mut out = begin(PAIR * list.len() as f64);
    for (place, (label, pair)) in list.iter().enumerate() {
        let top = PAIR * place as f64;
        // Writing to a string can't fail.
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
            LABELS - 8.0,
            top + BAR + 4.0,
            escaped(label)
        );
        for (side, value) in pair.iter().enumerate() {
            let (y, length) = (top + BAR * side as f64, value.max(0.0) * scale);
            let _ = writeln!(
                out,
                "<rect x=\"{LABELS}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" \
                 fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\">{}</text>",
                COLOURS[side],
                LABELS + length + 5.0,
                y + BAR - 2.0,
                escaped(&words(*value))
            );
        }
    }
    out + "</svg>\n"
}

/// Two lines over the same places, which have labels; a place may lack a value.
pub(super) fn lines(labels: &[String], values: &[[Option<f64>; 2]]) -> String {
    let all = || values.iter().flatten().flatten().copied();
    let (least, most) = (all().fold(0.0, f64::min), all().fold(0.0, f64::max));
    let span = if most > least { most - least } else { 1.0 };
    let step = (WIDTH - 2.0 * MARGIN) / (values.len().saturating_sub(1).max(1)) as f64;
    let y = |value: f64| MARGIN + (most - value) / span * (HEIGHT - 2.0 * MARGIN);
    let mut out = begin(HEIGHT);
    for (value, label) in [(most, super::text::short(most)), (least, super::text::short(least))] {
        let _ = writeln!(
            out,
            "<line x1=\"{MARGIN}\" x2=\"{:.0}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{MARGIN}\" y=\"{:.1}\" font-size=\"11\">{label}</text>",
            WIDTH - MARGIN,
            y(value),
            y(value),
            y(value) - 4.0
        );
    }
    for side in 0..2 {
        let points = values.iter().enumerate().filter_map(|(place, pair)| {
            Some(format!("{:.1},{:.1}", MARGIN + step * place as f64, y(pair[side]?)))
        });
        let points: Vec<String> = points.collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
            points.join(" "),
            COLOURS[side]
        );
    }
    let ends = [(MARGIN, "start", labels.first()), (WIDTH - MARGIN, "end", labels.last())];
    for (x, anchor, label) in ends {
        let _ = writeln!(
            out,
            "<text x=\"{x:.0}\" y=\"{:.0}\" font-size=\"11\" text-anchor=\"{anchor}\">{}</text>",
            HEIGHT - 8.0,
            label.map_or_else(String::new, |label| escaped(label))
        );
    }
    out + "</svg>\n"
}

fn begin(height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n"
    )
}
