//! A chart as SVG. Axes and writing are drawn in the colour of the text around, so that they can be read on a light and on a dark page; the lines'
//! colours are of a lightness between.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::series::{Chart, Point};

/// Pixels of a panel, of the titles above it and of a line of the legend.
const PANEL: (u32, u32) = (560, 320);
const PANEL_OF_SEVERAL: (u32, u32) = (400, 320);
const TITLES: u32 = 50;
const LEGEND_LINE: u32 = 22;
const MARGIN: u32 = 12;
/// What a character of the legend takes at most, nearly always.
const CHARACTER: u32 = 9;

/// Text and axes: this colour becomes that of the text around. No line has it.
const INK: RGBColor = BLACK;

/// Of the palette of Okabe and Ito, which those tell apart, too, who do not see all colours; the darkest two are made lighter.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x1f, 0x83, 0xc4),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xc9, 0x91, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x8d, 0x6a, 0xd0),
    RGBColor(0x80, 0x80, 0x80),
];

/// What drawing into memory may end with.
pub type DrawError = DrawingAreaErrorKind<std::io::Error>;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws it, as an element to be put into a page.
///
/// # Errors
/// The library refuses; drawing into memory gives it no reason to.
pub fn svg(chart: &Chart) -> Result<String, DrawError> {
    let panel = if chart.panels.len() > 1 { PANEL_OF_SEVERAL } else { PANEL };
    let width = panel.0 * chart.panels.len() as u32;
    let columns = legend_columns(chart, width);
    let height = TITLES + panel.1 + (chart.lines.len() as u32).div_ceil(columns) * LEGEND_LINE + MARGIN;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        let (titles, below) = root.split_vertically(TITLES);
        let (panels, legend) = below.split_vertically(panel.1);
        draw_titles(&titles, chart)?;
        draw_panels(&panels, chart)?;
        for (number, line) in chart.lines.iter().enumerate() {
            let (column, row) = (number as u32 % columns, number as u32 / columns);
            let at = ((MARGIN + 4 + column * (width / columns)) as i32, (row * LEGEND_LINE + LEGEND_LINE / 2) as i32);
            draw_legend_line(&legend, number, &line.name, chart.marked, at)?;
        }
        root.present()?;
    }
    Ok(text.replace("\"#000000\"", "\"currentColor\""))
}

/// The same as a file of its own, which brings its background.
pub fn stand_alone(svg: &str) -> String {
    let style = "<style>svg{color:#222;background:#fff}@media(prefers-color-scheme:dark){svg{color:#ddd;background:#16181c}}</style>";
    let inside = svg.find('>').map_or(0, |end| end + 1);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}{style}{}", &svg[..inside], &svg[inside..])
}

fn draw_titles(area: &Area, chart: &Chart) -> Result<(), DrawError> {
    let left = Pos::new(HPos::Left, VPos::Center);
    let title = ("sans-serif", 21).into_font().style(FontStyle::Bold).color(&INK).pos(left);
    area.draw(&Text::new(chart.title.as_str(), (MARGIN as i32, 16), title))?;
    let subtitle = ("sans-serif", 17).into_font().color(&INK.mix(0.75)).pos(left);
    area.draw(&Text::new(chart.subtitle.as_str(), (MARGIN as i32, 38), subtitle))
}

fn draw_panels(area: &Area, chart: &Chart) -> Result<(), DrawError> {
    let points = || chart.lines.iter().flat_map(|line| line.panels.iter().flatten());
    // The same for all panels, so that they can be compared.
    let x = chart.x_scale.axis(points().map(|point| point.x));
    let y = chart.y_scale.axis(points().flat_map(|point| [point.low, point.high]));
    for ((number, name), area) in chart.panels.iter().enumerate().zip(area.split_evenly((1, chart.panels.len()))) {
        draw_panel(&area, chart, number, name, (&x, &y))?;
    }
    Ok(())
}

fn draw_panel(area: &Area, chart: &Chart, number: usize, name: &str, (x, y): (&Axis, &Axis)) -> Result<(), DrawError> {
    let small = ("sans-serif", 15).into_font().color(&INK);
    let mut builder = ChartBuilder::on(area);
    builder.margin(MARGIN).margin_right(MARGIN + 14).x_label_area_size(46).y_label_area_size(66);
    if !name.is_empty() {
        builder.caption(name, ("sans-serif", 17).into_font().color(&INK));
    }
    let mut canvas = builder.build_cartesian_2d(x.clone(), y.clone())?;
    canvas
        .configure_mesh()
        .axis_style(INK.mix(0.6))
        .bold_line_style(INK.mix(0.15))
        .light_line_style(TRANSPARENT)
        .label_style(small.clone())
        .axis_desc_style(("sans-serif", 16).into_font().color(&INK))
        .x_desc(chart.x_label)
        .y_desc(chart.y_label)
        .draw()?;
    let (x_scale, y_scale) = (chart.x_scale, chart.y_scale);
    let place = |point: &Point, value: f64| {
        (x_scale.place(point.x).clamp(x.from, x.to), y_scale.place(value).clamp(y.from, y.to))
    };
    for (index, line) in chart.lines.iter().enumerate() {
        let (colour, points) = (colour(index), &line.panels[number]);
        canvas
            .draw_series(LineSeries::new(points.iter().map(|point| place(point, point.y)), colour.stroke_width(2)))?;
        for point in points.iter().filter(|point| point.low < point.high) {
            let range = vec![place(point, point.low), place(point, point.high)];
            canvas.draw_series([PathElement::new(range, colour.mix(0.55).stroke_width(1))])?;
        }
        if chart.marked {
            for point in points {
                canvas.draw_series([mark(index, place(point, point.y))])?;
            }
        }
    }
    Ok(())
}

/// Lines are told apart by their colours, and by the marks of their points.
fn mark<'a, Place: Clone + 'static>(index: usize, at: Place) -> DynElement<'static, SVGBackend<'a>, Place> {
    let colour = colour(index);
    match index % 4 {
        0 => Circle::new(at, 4, colour.filled()).into_dyn(),
        1 => TriangleMarker::new(at, 5, colour.filled()).into_dyn(),
        2 => Cross::new(at, 4, colour.stroke_width(2)).into_dyn(),
        _ => Circle::new(at, 4, colour.stroke_width(2)).into_dyn(),
    }
}

fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// As many as the longest name leaves room for.
fn legend_columns(chart: &Chart, width: u32) -> u32 {
    let longest = chart.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or_default() as u32;
    (width / (60 + longest * CHARACTER)).clamp(1, 8)
}

fn draw_legend_line(area: &Area, number: usize, name: &str, marked: bool, at: (i32, i32)) -> Result<(), DrawError> {
    let (left, middle) = at;
    area.draw(&PathElement::new(vec![(left, middle), (left + 28, middle)], colour(number).stroke_width(2)))?;
    if marked {
        area.draw(&mark(number, (left + 14, middle)))?;
    }
    let style = ("sans-serif", 16).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(name, (left + 38, middle), style))
}

/// An axis for the library: places are spread evenly, as their scale has been applied already.
impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (first, last): (i32, i32)) -> i32 {
        let share = (place - self.from) / (self.to - self.from);
        first + (f64::from(last - first) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|(place, _)| *place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(place: &f64) -> String {
        place.to_string()
    }

    fn format_ext(&self, place: &f64) -> String {
        self.ticks.iter().find(|(other, _)| other == place).map_or_else(String::new, |(_, label)| label.clone())
    }
}
