from qbo_rs.mage import coverage_page

qbo_coverage = render(render_type="html")(coverage_page)
