package seed

import "fmt"

var (
	firstNames = []string{"Ada", "Bola", "Chen", "Dana", "Emeka", "Fatima", "Goran", "Hana", "Iris", "João", "Kofi", "Lena", "Mei", "Noor", "Olga", "Pavel"}
	lastNames  = []string{"Adeyemi", "Brandt", "Castillo", "Dubois", "Eriksen", "Fischer", "García", "Haddad", "Ito", "Jansen", "Kowalski", "Lindqvist", "Moreau", "Nguyen", "O'Brien", "Petrov"}
	streets    = []string{"Canal", "Garden", "Harbour", "Market", "Mill", "Orchard", "Station", "Tower"}
	cities     = []string{"Eastport", "Millbridge", "Northam", "Südstadt"}
	kitchens   = []string{"Bengal", "Crimson", "Golden", "Little", "Old", "Olive", "Quiet", "Royal"}
	signs      = []string{"Kettle", "Lantern", "Oven", "Pepper", "Spoon", "Table"}
	dishes     = []string{"Curry", "Dumplings", "Noodles", "Pie", "Pizza", "Salad", "Soup", "Stew"}
)

func pick(t *town, words []string) string { return words[t.random.IntN(len(words))] }

func (t *town) name() (first, last string) { return pick(t, firstNames), pick(t, lastNames) }

func (t *town) address() (street, city, zip string) {
	return fmt.Sprintf("%d %s Street", 1+t.random.IntN(200), pick(t, streets)), pick(t, cities), fmt.Sprintf("%05d", t.random.IntN(100_000))
}
