from qbo_rs.mage import coverage_chart

qbo_coverage = xy(coverage_chart)
