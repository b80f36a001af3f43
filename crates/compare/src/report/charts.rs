//! Draws a report's charts as SVG. The page's style sheet replaces black by its own text colour.

use std::collections::BTreeMap;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::CompareError;
use super::super::statistics::Estimate;
use super::{Report, RevocationDelayByPlace, Variant};

/// A chart. Its title must differ from those of tables: on a page each is the name of a landmark.
pub(super) struct SvgChart {
    pub(super) title: &'static str,
    /// Description, shown and used as the accessible label.
    pub(super) about: &'static str,
    pub(super) svg: String,
}

/// Distinguishable on white and on black, the first ones also for the colour-blind (after Okabe and Ito). Enough for the lines
/// of one chart, with those of another system.
const COLOURS: [RGBColor; 12] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(120, 94, 240),
    RGBColor(150, 150, 150),
    RGBColor(166, 118, 29),
    RGBColor(214, 39, 80),
    RGBColor(20, 170, 190),
    RGBColor(140, 160, 30),
];

const WIDTH: u32 = 960;
const LINE: u32 = 26;
/// Width of the names at the left, in pixels.
const NAMES: u32 = 230;
/// Width or height of the axis labels, in pixels.
const NUMBERS: u32 = 56;

/// Font of every text.
const LABEL: (&str, u32) = ("sans-serif", 14);

/// The smallest delay drawn, in milliseconds: a logarithmic scale has no zero.
const SHORTEST: f64 = 0.05;

impl Report {
    pub(super) fn charts(&self) -> Result<Vec<SvgChart>, CompareError> {
        let main: Vec<&Variant> = self.variants.iter().filter(|variant| variant.nodes == 1).collect();
        let mut charts = vec![SvgChart {
            title: "Latency",
            about: "Cumulative distribution of latencies at the fixed rate.",
            svg: draw_svg(440, |area| latency_curves(area, &self.with_first_algorithm(&main)))?,
        }];
        // The CPU time of a server that ran already is unknown.
        let counted: Vec<_> =
            main.iter().copied().filter(|variant| variant.server_cpu_us.is_some()).collect();
        if !counted.is_empty() {
            charts.push(SvgChart {
                title: "CPU per request",
                about: "CPU time of the server’s processes and of Postgres. A bar that is very much longer than the others is cut off, with its number after it.",
                svg: draw_svg(rows(counted.len()), |area| cpu_bars(area, &counted))?,
            });
        }
        let ended: Vec<_> =
            main.iter().copied().filter(|variant| variant.revocation_delay_ms.is_some()).collect();
        if !ended.is_empty() {
            charts.push(SvgChart {
                title: "Revocation delay of each logout",
                about: "A dot for each logout: the upper row is the node that handled it, the middle one another node, the lower one another service.",
                svg: draw_svg(rows(3 * ended.len()), |area| delay_dots(area, &ended))?,
            });
        }
        if self.variants.iter().any(|variant| variant.nodes > 1) {
            charts.push(SvgChart {
                title: "CPU per request by number of nodes",
                about: "CPU time per request of servers and Postgres together, by the number of nodes that share the requests.",
                svg: draw_svg(360, |area| scaling(area, &self.variants))?,
            });
        }
        Ok(charts)
    }

    /// Only the variants with the first algorithm, since a chart has no room for all.
    fn with_first_algorithm<'a>(&self, main: &[&'a Variant]) -> Vec<&'a Variant> {
        let first = main.iter().find_map(|variant| variant.algorithm.as_deref());
        let has_default_algorithm =
            |variant: &&&Variant| variant.algorithm.is_none() || variant.algorithm.as_deref() == first;
        main.iter().filter(has_default_algorithm).copied().collect()
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn rows(count: usize) -> u32 {
    80 + LINE * u32::try_from(count).unwrap_or(u32::MAX / LINE / 2)
}

fn draw_svg(height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String, CompareError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area).map_err(|error| CompareError::Chart(error.to_string()))?;
        area.present().map_err(|error| CompareError::Chart(error.to_string()))?;
    }
    // Without a fixed size: the page scales it to its width.
    Ok(svg.replacen(&format!("width=\"{WIDTH}\" height=\"{height}\" "), "", 1))
}

fn colour(at: usize) -> RGBColor {
    COLOURS[at % COLOURS.len()]
}

/// A line and its name in the legend.
struct Line<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
}

fn latency_curves(area: &Area<'_>, variants: &[&Variant]) -> Drawn {
    let lines: Vec<_> = variants
        .iter()
        .map(|variant| {
            let curve = variant.latency.fixed_rate.curve.iter();
            Line { name: &variant.name, points: curve.map(|(part, ms)| (*ms, part * 100.0)).collect() }
        })
        .collect();
    let all = || lines.iter().flat_map(|line| &line.points).map(|point| point.0);
    let shortest = all().fold(f64::INFINITY, f64::min).clamp(0.001, 1e6);
    let longest = all().fold(2.0 * shortest, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(NUMBERS)
        .y_label_area_size(NUMBERS)
        .build_cartesian_2d((shortest..longest).log_scale(), 0.0..100.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .label_style(LABEL)
        .x_desc("ms")
        .y_desc("% of requests")
        .x_label_formatter(&|ms| tick(*ms))
        .draw()?;
    for (at, line) in lines.into_iter().enumerate() {
        let draw_svg = chart.draw_series(LineSeries::new(line.points, colour(at).stroke_width(2)))?;
        draw_svg
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour(at).stroke_width(3)));
    }
    let labels = &mut chart.configure_series_labels();
    Ok(labels.position(SeriesLabelPosition::LowerRight).label_font(LABEL).border_style(TRANSPARENT).draw()?)
}

/// A stacked bar (server, Postgres) for each variant, with the sum after it. A bar that is very much longer than the others
/// is cut off, so that the others stay readable.
fn cpu_bars(area: &Area<'_>, variants: &[&Variant]) -> Drawn {
    let parts =
        |variant: &Variant| [variant.server_cpu_us, variant.postgres_cpu_us].map(Option::unwrap_or_default);
    let sums: Vec<f64> = variants.iter().map(|variant| parts(variant).iter().sum()).collect();
    let end = longest_bar(&sums);
    let count = variants.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(NUMBERS)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..end * 1.3, 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .light_line_style(TRANSPARENT)
        .label_style(LABEL)
        .x_desc("µs")
        .draw()?;
    for (at, (variant, sum)) in variants.iter().zip(sums).enumerate() {
        let row = count - at as f64;
        let [server, postgres] = parts(variant);
        let bar = |from: f64, to: f64, part| {
            Rectangle::new([(from.min(end), row - 0.8), (to.min(end), row - 0.2)], colour(part).filled())
        };
        chart.draw_series([bar(0.0, server, 0), bar(server, server + postgres, 1)])?;
        name(area, chart.backend_coord(&(0.0, row - 0.5)), &variant.name)?;
        let (x, y) = chart.backend_coord(&(sum.min(end), row - 0.5));
        let number = if sum > end { format!("… {sum:.0}") } else { format!("{sum:.0}") };
        area.draw(&Text::new(
            number,
            (x + 6, y),
            TextStyle::from(LABEL).pos(Pos::new(HPos::Left, VPos::Center)),
        ))?;
    }
    for (part, name) in ["server", "Postgres"].into_iter().enumerate() {
        let nothing = chart.draw_series(std::iter::empty::<Rectangle<(f64, f64)>>())?;
        nothing
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 14, y + 6)], colour(part).filled()));
    }
    let labels = &mut chart.configure_series_labels();
    Ok(labels.position(SeriesLabelPosition::UpperRight).label_font(LABEL).border_style(TRANSPARENT).draw()?)
}

/// The end of the axis: the longest bar that is less than ten times the median.
fn longest_bar(sums: &[f64]) -> f64 {
    let middle = Estimate::of(sums.iter().copied()).map_or(0.0, |sum| sum.median);
    sums.iter().copied().filter(|sum| *sum < 10.0 * middle).fold(1.0, f64::max)
}

/// A dot for each logout, in one row per place.
fn delay_dots(area: &Area<'_>, variants: &[&Variant]) -> Drawn {
    let longest = variants.iter().flat_map(|variant| samples(variant).concat()).fold(1_000.0, f64::max);
    let count = variants.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(NUMBERS)
        .y_label_area_size(NAMES)
        .build_cartesian_2d((SHORTEST * 0.9..longest * 2.0).log_scale(), 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .light_line_style(TRANSPARENT)
        .label_style(LABEL)
        .x_desc("ms after the acknowledgement (leftmost: immediately)")
        .x_label_formatter(&|ms| tick(*ms))
        .draw()?;
    for (at, variant) in variants.iter().enumerate() {
        let row = count - at as f64;
        for (place, samples) in samples(variant).into_iter().enumerate() {
            let y = row - 0.25 * (place as f64 + 1.0);
            let dot = |ms: f64| Circle::new((ms.max(SHORTEST), y), 3, colour(place).mix(0.5).filled());
            chart.draw_series(samples.into_iter().map(dot))?;
        }
        name(area, chart.backend_coord(&(SHORTEST * 0.9, row - 0.5)), &variant.name)?;
    }
    for (place, name) in ["same node", "other node", "other service"].into_iter().enumerate() {
        let nothing = chart.draw_series(std::iter::empty::<Circle<(f64, f64), i32>>())?;
        nothing.label(name).legend(move |(x, y)| Circle::new((x + 7, y), 4, colour(place).filled()));
    }
    let labels = &mut chart.configure_series_labels();
    Ok(labels.position(SeriesLabelPosition::UpperRight).label_font(LABEL).border_style(TRANSPARENT).draw()?)
}

/// Delays on the node that handled the logout, on another, and in another service.
fn samples(variant: &Variant) -> [Vec<f64>; 3] {
    let places = variant.revocation_delay_ms.as_ref().map_or([None; 3], RevocationDelayByPlace::places);
    places.map(|delay| delay.map(|delay| delay.samples.clone()).unwrap_or_default())
}

fn scaling(area: &Area<'_>, variants: &[Variant]) -> Drawn {
    let mut lines: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for variant in variants {
        let cpu = variant.server_cpu_us.unwrap_or_default() + variant.postgres_cpu_us.unwrap_or_default();
        lines.entry(base(variant)).or_default().push((variant.nodes as f64, cpu));
    }
    lines.retain(|_, points| points.len() > 1);
    let most = lines.values().flatten().map(|point| point.1).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(NUMBERS)
        .y_label_area_size(NUMBERS)
        .build_cartesian_2d(0.8..4.2, 0.0..most * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .label_style(LABEL)
        .x_desc("nodes")
        .y_desc("µs")
        .x_labels(5)
        .x_label_formatter(&|nodes| format!("{nodes:.0}"))
        .draw()?;
    for (at, (name, points)) in lines.into_iter().enumerate() {
        let draw_svg =
            chart.draw_series(LineSeries::new(points, colour(at).stroke_width(2)).point_size(4))?;
        draw_svg
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour(at).stroke_width(3)));
    }
    let labels = &mut chart.configure_series_labels();
    Ok(labels
        .position(SeriesLabelPosition::MiddleRight)
        .label_font(LABEL)
        .border_style(TRANSPARENT)
        .draw()?)
}

/// A variant's name without its number of nodes.
fn base(variant: &Variant) -> &str {
    variant.name.split(',').next().unwrap_or_default()
}

/// Writes a label to the left of a point.
fn name(area: &Area<'_>, (x, y): (i32, i32), text: &str) -> Drawn {
    let style = TextStyle::from(LABEL).pos(Pos::new(HPos::Right, VPos::Center));
    Ok(area.draw(&Text::new(text.to_owned(), (x - 8, y), style))?)
}

fn tick(ms: f64) -> String {
    match ms {
        ..0.1 => format!("{ms:.2}"),
        0.1..10.0 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}
