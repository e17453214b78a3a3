//! A bar chart as SVG.

use std::fmt::Write as _;

/// A bar, with a mark where its limit is.
pub(super) struct Bar {
    /// What it is.
    pub(super) label: String,
    /// Its length.
    pub(super) value: f64,
    /// Where the limit is.
    pub(super) mark: Option<f64>,
    /// Follows the value.
    pub(super) note: String,
}

/// Space for labels, for the longest bar, for values; height of a bar with its gap; all in pixels.
const LABELS: f64 = 210.0;
const LONGEST: f64 = 420.0;
const VALUES: f64 = 130.0;
const STEP: f64 = 30.0;
/// Above the first bar.
const HEAD: f64 = 40.0;

/// A horizontal bar for each entry, to one scale that begins at 0.
pub(super) fn bars(title: &str, list: &[Bar]) -> String {
    let ends = list.iter().flat_map(|bar| [Some(bar.value), bar.mark]).flatten();
    let most = ends.fold(0.0, f64::max);
    let scale = if most > 0.0 { LONGEST / most } else { 0.0 };
    let (width, height) = (LABELS + LONGEST + VALUES, HEAD + STEP * list.len() as f64 + 30.0);
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\">{}</text>",
        escaped(title)
    );
    for (place, bar) in list.iter().enumerate() {
        let top = HEAD + STEP * place as f64;
        let (length, text) = (bar.value * scale, top + 15.0);
        let fill = if bar.mark.is_some() { "#3b6ea5" } else { "#a0a0a0" };
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LABELS}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"20\" \
             fill=\"{fill}\"/>\n\
             <text x=\"{:.1}\" y=\"{text:.1}\">{:.2}{}</text>",
            LABELS - 8.0,
            escaped(&bar.label),
            LABELS + length.max(bar.mark.unwrap_or(0.0) * scale) + 6.0,
            bar.value,
            escaped(&bar.note)
        );
        if let Some(mark) = bar.mark {
            let x = LABELS + mark * scale;
            let (low, high) = (top - 3.0, top + 23.0);
            let _ = writeln!(
                out,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\" \
                 stroke=\"#c0392b\" stroke-width=\"2\"/>"
            );
        }
    }
    let legend = height - 10.0;
    let _ = writeln!(
        out,
        "<text x=\"{LABELS}\" y=\"{legend:.1}\" fill=\"#c0392b\">| what it is compared with\
         </text>\n</svg>"
    );
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_to_scale() {
        let bar = |label: &str, value, mark| Bar {
            label: label.into(),
            value,
            mark,
            note: String::new(),
        };
        let svg = bars("a < b", &[bar("limit", 10.0, None), bar("ours", 5.0, Some(10.0))]);
        assert!(svg.contains("a &lt; b"));
        assert!(svg.contains("width=\"420.0\"") && svg.contains("width=\"210.0\""), "{svg}");
        assert!(svg.contains("x1=\"630.0\""), "the mark stands at the limit's end");
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn nothing_is_no_division() {
        assert!(!bars("", &[]).contains("NaN"));
    }
}
