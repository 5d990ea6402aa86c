from qbo_rs.mage import show_coverage

show_coverage = data_loader(show_coverage())
