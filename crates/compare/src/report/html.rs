//! Renders a report as a self-contained HTML page.

use super::super::CompareError;
use super::Report;
use super::tables::Table;

/// Style of a report's elements, which uses the colours of the page around it.
const STYLE: &str = include_str!("report.css");

/// Colours and layout of the page.
const PAGE_STYLE: &str = include_str!("page.css");

impl Report {
    /// The page.
    pub(super) fn to_html(&self) -> Result<String, CompareError> {
        let article = self.to_article()?;
        Ok(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Sessions and JWTs, measured</title>\n<style>\n{PAGE_STYLE}{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>Sessions and JWTs, measured</h1>\n{article}</main>\n</body>\n</html>\n"
        ))
    }

    /// Summary, conditions, charts and tables, without the page around them.
    ///
    /// # Errors
    /// When a chart can't be drawn.
    fn to_article(&self) -> Result<String, CompareError> {
        let conditions: String = self
            .conditions()
            .iter()
            .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)))
            .collect();
        let warnings: String = self
            .environment
            .warnings
            .iter()
            .map(|warning| format!("<p class=\"beware\"><strong>Warning.</strong> {}</p>\n", escape(warning)))
            .collect();
        let found: String =
            self.summary().iter().map(|sentence| format!("<li>{}</li>\n", escape(sentence))).collect();
        let found = match found.as_str() {
            "" => found,
            _ => format!(
                "<section class=\"report\" aria-labelledby=\"found\">\n<h2 id=\"found\">Summary</h2>\n\
                 <ul class=\"found\">\n{found}</ul>\n</section>\n"
            ),
        };
        let charts = self.charts()?.into_iter().enumerate().map(|(number, chart)| {
            format!(
                "<section class=\"report\" aria-labelledby=\"chart-{number}\">\n<h2 id=\"chart-{number}\">{}</h2>\n<p>{}</p>\n\
                 <div class=\"chart\" role=\"img\" aria-label=\"{}\" tabindex=\"0\">{}</div>\n</section>\n",
                chart.title,
                chart.about,
                escape(&format!("Chart: {} The tables below contain its figures.", chart.about)),
                chart.svg
            )
        });
        let charts: String = charts.collect();
        let tables: String = self.tables().iter().enumerate().map(section).collect();
        Ok(format!(
            "{found}<section class=\"report\" aria-labelledby=\"run\">\n<h2 id=\"run\">The run</h2>\n\
             <dl class=\"conditions\">\n{conditions}</dl>\n{warnings}</section>\n{charts}{tables}"
        ))
    }
}

fn section((number, table): (usize, &Table)) -> String {
    let head: String =
        table.columns.iter().map(|column| format!("<th scope=\"col\">{}</th>", escape(column))).collect();
    let body: String = table.rows.iter().map(|row| line(row)).collect();
    format!(
        "<section class=\"report\" aria-labelledby=\"table-{number}\">\n<h2 id=\"table-{number}\">{}</h2>\n<p>{}</p>\n\
         <div class=\"wide\" tabindex=\"0\" role=\"group\" aria-labelledby=\"table-{number}\">\n<table>\n<thead><tr>{head}</tr></thead>\n\
         <tbody>\n{body}</tbody>\n</table>\n</div>\n</section>\n",
        table.title, table.about
    )
}

fn line(row: &[String]) -> String {
    let cells = row.iter().enumerate().map(|(at, cell)| match at {
        0 => format!("<th scope=\"row\">{}</th>", escape(cell)),
        _ => format!("<td>{}</td>", escape(cell)),
    });
    format!("<tr>{}</tr>\n", cells.collect::<String>())
}

/// Escapes text for HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
