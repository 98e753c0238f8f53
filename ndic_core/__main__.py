from ndic_core.cli import main

main()
