//! Latency and server CPU per delivery over the size of the room, drawn.
//!
//! Knows plotters and figures. Knows nothing of how anything was measured.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::figures::Quantity;
use crate::phases::Phase;
use crate::rank::Rank;
use crate::report::Report;
use crate::subjects::Subject;

const PANEL: (u32, u32) = (420, 340);

/// One line of a panel: a value for each size that has one.
type Line = (Subject, Vec<(f64, f64)>);

/// Draws latencies of the first phase at a rate, and CPU per delivery of all phases.
///
/// # Errors
/// The file cannot be written.
pub fn draw(report: &Report, path: &Path) -> Result<(), Box<dyn Error>> {
    let Some(first) = report.sizes.first().and_then(|(_, rows)| rows.first()) else {
        return Err("nothing to draw".into());
    };
    let phases: Vec<Phase> = first.phases.iter().map(|outcome| outcome.phase).collect();
    let latencies = [Rank::P50, Rank::P99, Rank::P999].map(Quantity::Each).into_iter();
    let latencies =
        latencies.chain([Quantity::Last(Rank::P99)]).enumerate().map(|(i, quantity)| {
            let what = ["latency p50", "latency p99", "latency p99.9", "last recipient p99"][i];
            (0, quantity, format!("{what} at {}, us", phases[0].name()))
        });
    let cpu = phases.iter().enumerate().map(|(index, phase)| {
        (index, Quantity::Cpu, format!("server CPU per delivery, {}, us", phase.name()))
    });
    let panels: Vec<_> = latencies.chain(cpu).collect();

    let rows = panels.len().div_ceil(4) as u32;
    let root = SVGBackend::new(path, (PANEL.0 * 4, PANEL.1 * rows)).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_evenly((rows as usize, 4));
    for (number, ((phase, quantity, title), area)) in panels.iter().zip(&areas).enumerate() {
        panel(area, title, &lines(report, *phase, *quantity), number == 0)?;
    }
    root.present()?;
    Ok(())
}

fn lines(report: &Report, phase: usize, quantity: Quantity) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    // Rooms beside idle connections are another story.
    for (size, rows) in report.sizes.iter().filter(|(size, _)| size.idle == 0) {
        for row in rows {
            let Some(figure) = row.phases[phase].figure(quantity) else { continue };
            let point = (size.chatting as f64, figure.value);
            match lines.iter_mut().find(|(subject, _)| *subject == row.subject) {
                Some((_, points)) => points.push(point),
                None => lines.push((row.subject, vec![point])),
            }
        }
    }
    lines
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    lines: &[Line],
    with_legend: bool,
) -> Result<(), Box<dyn Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let range = |of: fn(&(f64, f64)) -> f64| {
        let least = points().map(of).fold(f64::MAX, f64::min);
        let most = points().map(of).fold(f64::MIN_POSITIVE, f64::max);
        (least.min(most), most)
    };
    // Whole decades, so that each axis has labels.
    let (least, most) = range(|p| p.1);
    let values = 10f64.powf(least.log10().floor())..10f64.powf(most.log10().ceil());
    let (least, most) = range(|p| p.0);
    let sizes = least / 1.3..most * 1.3;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(56)
        .build_cartesian_2d(sizes.log_scale(), values.log_scale())?;
    chart
        .configure_mesh()
        .x_desc("clients")
        .x_labels(4)
        .y_labels(8)
        .light_line_style(WHITE)
        .x_label_formatter(&|n| format!("{n:.0}"))
        .y_label_formatter(&|v| format!("{v}"))
        .draw()?;
    for (subject, points) in lines {
        let color = color(*subject);
        let line = chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?;
        if with_legend {
            line.label(subject.name()).legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 18, y)], color.stroke_width(2))
            });
        }
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, color.filled())))?;
    }
    if with_legend {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
    }
    Ok(())
}

/// Colours that also those tell apart who see no red or no green.
const fn color(subject: Subject) -> RGBColor {
    match subject {
        Subject::Floor => RGBColor(120, 120, 120),
        Subject::Nickname | Subject::OtherNickname => RGBColor(0, 114, 178),
        Subject::Accounts | Subject::Unkept | Subject::OtherAccounts => RGBColor(86, 180, 233),
        Subject::Redis => RGBColor(213, 94, 0),
        Subject::Nats => RGBColor(0, 158, 115),
        Subject::Ngircd => RGBColor(204, 121, 167),
        Subject::Mosquitto => RGBColor(230, 159, 0),
        Subject::Threads => RGBColor(0, 0, 0),
    }
}
