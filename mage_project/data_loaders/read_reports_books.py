from qbo_rs.mage import read_reports

read_reports_books = data_loader(read_reports())
