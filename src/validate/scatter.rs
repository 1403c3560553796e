//! Predicted against measured as one SVG: every sound speed row a point, both axes logarithmic,
//! single machines in one panel and serving in the other.
//!
//! Times are drawn as rates (1 / time), so that up is fast everywhere: tokens/s of one stream, of
//! a deployment or of a device, and first tokens/s. The file needs nothing beside it, has no
//! background and only colours that show on white and on black. The same rows give the same bytes.

use super::Judged;
use super::facts::{Facts, Figure};
use crate::units::math::ln;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Points drawn at most; beyond that an even sample by the hash of the id.
const MOST_POINTS: usize = 3000;
/// Size of the picture.
const SIZE: (f64, f64) = (960.0, 550.0);
/// Edge of the square the points of a panel lie in, its distance from the top, and from the left
/// for each panel.
const SIDE: f64 = 390.0;
const TOP: f64 = 40.0;
const LEFT: [f64; 2] = [66.0, 536.0];
/// Colour of text and lines: readable on white and on black.
const NEUTRAL: &str = "#7a7a7a";

/// Regimes that share a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Decode,
    Prefill,
    Batched,
    Tpot,
    Throughput,
    Ttft,
}

impl Family {
    /// The families of a panel.
    const PANELS: [(&'static str, [Self; 3]); 2] = [
        ("single machines", [Self::Decode, Self::Prefill, Self::Batched]),
        ("serving", [Self::Tpot, Self::Throughput, Self::Ttft]),
    ];

    fn of(facts: &Facts) -> Self {
        match (facts.serving, facts.figure) {
            (true, Figure::Tpot) => Self::Tpot,
            (true, Figure::Throughput) => Self::Throughput,
            (true, Figure::Ttft) => Self::Ttft,
            (false, Figure::Ttft) => Self::Prefill,
            (false, Figure::Tpot | Figure::Throughput) if facts.is_batched() => Self::Batched,
            (false, Figure::Tpot | Figure::Throughput) => Self::Decode,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Prefill => "prefill",
            Self::Batched => "batched output",
            Self::Tpot => "one user",
            Self::Throughput => "throughput",
            Self::Ttft => "first token",
        }
    }

    /// Colours of Okabe and Ito, told apart with every kind of colour vision.
    fn colour(self) -> &'static str {
        match self {
            Self::Decode => "#0072b2",
            Self::Prefill => "#e69f00",
            Self::Batched => "#009e73",
            Self::Tpot => "#56b4e9",
            Self::Throughput => "#d55e00",
            Self::Ttft => "#cc79a7",
        }
    }

    /// Serving is drawn as squares, single machines as circles.
    fn mark(self, x: f64, y: f64) -> String {
        match self {
            Self::Decode | Self::Prefill | Self::Batched => {
                format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>")
            }
            Self::Tpot | Self::Throughput | Self::Ttft => {
                format!("<path d=\"M{:.1} {:.1}h3.4v3.4h-3.4z\"/>", x - 1.7, y - 1.7)
            }
        }
    }
}

/// A row as a point: decimal logarithms of two rates.
struct Point<'a> {
    family: Family,
    id: &'a str,
    measured: f64,
    predicted: f64,
}

/// The point of a row; `None` for rows that are in doubt, not answered, or not about speed.
fn point(row: &Judged) -> Option<Point<'_>> {
    let facts = row.facts.as_ref().filter(|facts| facts.is_sound())?;
    let (measured, predicted) = (row.measured, row.predicted.as_ref().ok()?.likely);
    let rate = |value: f64| if row.metric.ends_with("_ms") { 1000.0 / value } else { value };
    let (measured, predicted) = (rate(measured), rate(predicted));
    let drawable = |value: f64| value.is_finite() && value > 0.0;
    (drawable(measured) && drawable(predicted)).then(|| Point {
        family: Family::of(facts),
        id: &row.id,
        measured: log10(measured),
        predicted: log10(predicted),
    })
}

/// FNV-1a: an order that has nothing to do with the value of a row.
fn hash(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Both axes of a panel: powers of ten from `low` to `high`. Values are decimal logarithms.
#[derive(Clone, Copy)]
struct Axes {
    left: f64,
    low: i32,
    high: i32,
}

impl Axes {
    /// The decades that hold every point; one to ten without points.
    fn around(points: &[&Point<'_>], left: f64) -> Self {
        let values = points.iter().flat_map(|point| [point.measured, point.predicted]);
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)));
        if low > high {
            return Self { left, low: 0, high: 1 };
        }
        let low = low.floor() as i32;
        Self { left, low, high: (high.ceil() as i32).max(low + 1) }
    }

    /// Distance of a value from the corner.
    fn along(self, value: f64) -> f64 {
        SIDE * (value - f64::from(self.low)) / f64::from(self.high - self.low)
    }

    fn x(self, value: f64) -> f64 {
        self.left + self.along(value)
    }

    fn y(self, value: f64) -> f64 {
        TOP + SIDE - self.along(value)
    }
}

fn log10(value: f64) -> f64 {
    // Rounded, so that a power of ten falls on its line and not beside it.
    (ln(value) / std::f64::consts::LN_10 * 1e9).round() / 1e9
}

/// A power of ten for people: `0.1`, `10`, `1k`, `1M`.
fn label(power: i32) -> String {
    let zeros = |n: u32| "0".repeat(n as usize);
    match u32::try_from(power) {
        Ok(power) => {
            let suffix = ["", "k", "M", "G"].get(power as usize / 3).copied().unwrap_or("T");
            format!("1{}{suffix}", zeros(power % 3))
        }
        Err(_) => format!("0.{}1", zeros(power.unsigned_abs() - 1)),
    }
}

/// Writes the picture of these rows.
///
/// # Errors
/// What the output says.
pub fn write_scatter(out: &mut dyn Write, rows: &[Judged]) -> io::Result<()> {
    let mut points: Vec<Point<'_>> = rows.iter().filter_map(point).collect();
    let all = points.len();
    points.sort_by(|a, b| hash(a.id).cmp(&hash(b.id)).then_with(|| a.id.cmp(b.id)));
    points.truncate(MOST_POINTS);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" \
         font-family=\"system-ui,sans-serif\" font-size=\"13\" fill=\"{NEUTRAL}\">\n\
         <title>Predicted against measured speed</title>\n",
        SIZE.0, SIZE.1
    );
    for ((title, families), left) in Family::PANELS.into_iter().zip(LEFT) {
        let own: Vec<&Point<'_>> = points.iter().filter(|point| families.contains(&point.family)).collect();
        let axes = Axes::around(&own, left);
        frame(&mut svg, title, axes);
        for family in families {
            let _ = writeln!(svg, "<g fill=\"{}\" fill-opacity=\".5\">", family.colour());
            for point in own.iter().filter(|point| point.family == family) {
                let _ = writeln!(svg, "{}", family.mark(axes.x(point.measured), axes.y(point.predicted)));
            }
            svg.push_str("</g>\n");
        }
        legend(&mut svg, families, left);
    }
    let shown = points.len();
    let thinned = if shown < all { format!("{shown} of {all} rows") } else { format!("{all} rows") };
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">grey band: within ±25 %; times are drawn as 1 / time; \
         {thinned}</text>\n</svg>",
        SIZE.0 / 2.0,
        SIZE.1 - 14.0
    );
    out.write_all(svg.as_bytes())
}

/// Grid, band, diagonal, ticks and titles of a panel.
fn frame(svg: &mut String, title: &str, axes: Axes) {
    let (left, right, bottom) = (axes.left, axes.left + SIDE, TOP + SIDE);
    let (middle, centre) = (f64::midpoint(left, right), f64::midpoint(TOP, bottom));
    let _ = writeln!(
        svg,
        "<clipPath id=\"at-{left}\"><path d=\"M{left} {TOP}h{SIDE}v{SIDE}h-{SIDE}z\"/></clipPath>\n\
         <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" font-weight=\"bold\">{title}</text>\n\
         <g stroke=\"{NEUTRAL}\" stroke-opacity=\".25\" fill=\"none\">",
        TOP - 14.0
    );
    for power in axes.low..=axes.high {
        let (x, y) = (axes.x(f64::from(power)), axes.y(f64::from(power)));
        let _ = writeln!(svg, "<path d=\"M{x:.1} {TOP}v{SIDE}M{left} {y:.1}h{SIDE}\"/>");
    }
    svg.push_str("</g>\n");
    // The band is a stripe along the diagonal because both axes are logarithmic.
    let (first, last) = (f64::from(axes.low - 1), f64::from(axes.high + 1));
    let corners = [(first, 1.25), (last, 1.25), (last, 0.75), (first, 0.75)]
        .map(|(at, ratio)| format!("{:.1} {:.1}", axes.x(at), axes.y(at + log10(ratio))));
    let _ = writeln!(
        svg,
        "<path d=\"M{}z\" fill-opacity=\".18\" clip-path=\"url(#at-{left})\"/>\n\
         <path d=\"M{left} {bottom}l{SIDE}-{SIDE}\" stroke=\"{NEUTRAL}\"/>",
        corners.join("L")
    );
    for power in axes.low..=axes.high {
        let (x, y, text) = (axes.x(f64::from(power)), axes.y(f64::from(power)), label(power));
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            bottom + 18.0,
            left - 8.0,
            y + 4.5
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">measured, tokens/s</text>\n\
         <text transform=\"translate({} {centre}) rotate(-90)\" text-anchor=\"middle\">predicted, tokens/s</text>\n\
         <text x=\"{}\" y=\"{}\" font-style=\"italic\">predicted too fast</text>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\" font-style=\"italic\">predicted too slow</text>",
        bottom + 40.0,
        left - 48.0,
        left + 10.0,
        TOP + 20.0,
        right - 10.0,
        bottom - 12.0
    );
}

/// The families of a panel below it, twice as large as the points.
fn legend(svg: &mut String, families: [Family; 3], left: f64) {
    let mut x = left + 24.0;
    for family in families {
        let _ = writeln!(
            svg,
            "<g transform=\"translate({x} {})\"><g fill=\"{}\" transform=\"scale(2)\">{}</g>\
             <text x=\"12\" y=\"4.5\">{}</text></g>",
            TOP + SIDE + 66.0,
            family.colour(),
            family.mark(0.0, 0.0),
            family.label()
        );
        x += 125.0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Doubt;
    use super::super::facts::tests::{LOCAL, SERVED};
    use super::*;
    use crate::fact::Estimate;
    use crate::validate::Comparison;

    fn row(id: usize, metric: &str, measured: f64, predicted: f64, facts: Facts) -> Judged {
        Judged {
            id: format!("r{id}"),
            regime: facts.regime(),
            also: Vec::new(),
            metric: metric.to_owned(),
            group: "g".to_owned(),
            measured,
            precision: 0.0,
            comparison: Comparison::Relative,
            predicted: Ok(Estimate { low: predicted, likely: predicted, high: predicted }),
            facts: Some(facts),
            beyond_bound: None,
        }
    }

    fn drawn(rows: &[Judged]) -> String {
        let mut out = Vec::new();
        write_scatter(&mut out, rows).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_drawn_as_rates() {
        let rows = [
            row(1, "decode_tps", 100.0, 10.0, LOCAL),
            row(2, "tpot_ms", 10.0, 100.0, SERVED),
            row(3, "tpot_ms", 10.0, 100.0, Facts { doubt: Doubt::Queueing, ..SERVED }),
        ];
        insta::assert_snapshot!(drawn(&rows), @r##"
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 550" role="img" font-family="system-ui,sans-serif" font-size="13" fill="#7a7a7a">
        <title>Predicted against measured speed</title>
        <clipPath id="at-66"><path d="M66 40h390v390h-390z"/></clipPath>
        <text x="261" y="26" text-anchor="middle" font-weight="bold">single machines</text>
        <g stroke="#7a7a7a" stroke-opacity=".25" fill="none">
        <path d="M66.0 40v390M66 430.0h390"/>
        <path d="M456.0 40v390M66 40.0h390"/>
        </g>
        <path d="M-324.0 782.2L846.0 -387.8L846.0 -301.3L-324.0 868.7z" fill-opacity=".18" clip-path="url(#at-66)"/>
        <path d="M66 430l390-390" stroke="#7a7a7a"/>
        <text x="66.0" y="448" text-anchor="middle">10</text><text x="58" y="434.5" text-anchor="end">10</text>
        <text x="456.0" y="448" text-anchor="middle">100</text><text x="58" y="44.5" text-anchor="end">100</text>
        <text x="261" y="470" text-anchor="middle">measured, tokens/s</text>
        <text transform="translate(18 235) rotate(-90)" text-anchor="middle">predicted, tokens/s</text>
        <text x="76" y="60" font-style="italic">predicted too fast</text>
        <text x="446" y="418" text-anchor="end" font-style="italic">predicted too slow</text>
        <g fill="#0072b2" fill-opacity=".5">
        <circle cx="456.0" cy="430.0" r="2"/>
        </g>
        <g fill="#e69f00" fill-opacity=".5">
        </g>
        <g fill="#009e73" fill-opacity=".5">
        </g>
        <g transform="translate(90 496)"><g fill="#0072b2" transform="scale(2)"><circle cx="0.0" cy="0.0" r="2"/></g><text x="12" y="4.5">decode</text></g>
        <g transform="translate(215 496)"><g fill="#e69f00" transform="scale(2)"><circle cx="0.0" cy="0.0" r="2"/></g><text x="12" y="4.5">prefill</text></g>
        <g transform="translate(340 496)"><g fill="#009e73" transform="scale(2)"><circle cx="0.0" cy="0.0" r="2"/></g><text x="12" y="4.5">batched output</text></g>
        <clipPath id="at-536"><path d="M536 40h390v390h-390z"/></clipPath>
        <text x="731" y="26" text-anchor="middle" font-weight="bold">serving</text>
        <g stroke="#7a7a7a" stroke-opacity=".25" fill="none">
        <path d="M536.0 40v390M536 430.0h390"/>
        <path d="M926.0 40v390M536 40.0h390"/>
        </g>
        <path d="M146.0 782.2L1316.0 -387.8L1316.0 -301.3L146.0 868.7z" fill-opacity=".18" clip-path="url(#at-536)"/>
        <path d="M536 430l390-390" stroke="#7a7a7a"/>
        <text x="536.0" y="448" text-anchor="middle">10</text><text x="528" y="434.5" text-anchor="end">10</text>
        <text x="926.0" y="448" text-anchor="middle">100</text><text x="528" y="44.5" text-anchor="end">100</text>
        <text x="731" y="470" text-anchor="middle">measured, tokens/s</text>
        <text transform="translate(488 235) rotate(-90)" text-anchor="middle">predicted, tokens/s</text>
        <text x="546" y="60" font-style="italic">predicted too fast</text>
        <text x="916" y="418" text-anchor="end" font-style="italic">predicted too slow</text>
        <g fill="#56b4e9" fill-opacity=".5">
        <path d="M924.3 428.3h3.4v3.4h-3.4z"/>
        </g>
        <g fill="#d55e00" fill-opacity=".5">
        </g>
        <g fill="#cc79a7" fill-opacity=".5">
        </g>
        <g transform="translate(560 496)"><g fill="#56b4e9" transform="scale(2)"><path d="M-1.7 -1.7h3.4v3.4h-3.4z"/></g><text x="12" y="4.5">one user</text></g>
        <g transform="translate(685 496)"><g fill="#d55e00" transform="scale(2)"><path d="M-1.7 -1.7h3.4v3.4h-3.4z"/></g><text x="12" y="4.5">throughput</text></g>
        <g transform="translate(810 496)"><g fill="#cc79a7" transform="scale(2)"><path d="M-1.7 -1.7h3.4v3.4h-3.4z"/></g><text x="12" y="4.5">first token</text></g>
        <text x="480" y="536" text-anchor="middle">grey band: within ±25 %; times are drawn as 1 / time; 2 rows</text>
        </svg>
        "##);
    }

    #[test]
    fn many_rows_are_thinned_and_the_file_stays_small() {
        let many: Vec<Judged> = (0..9000)
            .map(|n| {
                row(n, "decode_tps", 1.0 + n as f64, 1.1 + n as f64, if n % 2 == 0 { LOCAL } else { SERVED })
            })
            .collect();
        let svg = drawn(&many);
        assert!(svg.contains("3000 of 9000 rows"));
        assert!(svg.len() < 300_000, "{} bytes", svg.len());
        let mut turned = many;
        turned.reverse();
        assert_eq!(drawn(&turned), svg);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let svg = drawn(&[]);
        assert!(svg.contains("; 0 rows<") && svg.contains(">10<"), "{svg}");
    }

    #[test]
    fn decades_are_named_briefly() {
        assert_eq!([-2, -1, 0, 4, 6].map(label), ["0.01", "0.1", "1", "10k", "1M"]);
    }
}
