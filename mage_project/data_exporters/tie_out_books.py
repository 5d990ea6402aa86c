from qbo_rs.mage import tie_out_books

tie_out_books = data_exporter(tie_out_books())
