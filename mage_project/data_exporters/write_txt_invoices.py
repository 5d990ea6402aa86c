from qbo_rs.mage import write_txt

write_txt_invoices = data_exporter(write_txt("invoices"))
