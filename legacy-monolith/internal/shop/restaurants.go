package shop

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
)

const (
	menuLimit  = 100
	priceLimit = 100_000_00 // in cents
)

func (s *server) createRestaurant(c echo.Context) error {
	var in struct {
		Name              string  `json:"name"`
		Address           address `json:"address"`
		OrderMinimumCents int64   `json:"order_minimum_cents"`
		MenuItems         []struct {
			Name       string `json:"name"`
			PriceCents int64  `json:"price_cents"`
		} `json:"menu_items"`
	}
	body, err := kit.ReadJSON(c, &in)
	if err != nil {
		return err
	}
	name, err := kit.Text("name", in.Name, 200)
	if err != nil {
		return err
	}
	where, err := in.Address.check("address")
	if err != nil {
		return err
	}
	if in.OrderMinimumCents < 0 || in.OrderMinimumCents > priceLimit {
		return kit.Invalid("order_minimum_cents", fmt.Sprintf("must be between 0 and %d", priceLimit))
	}
	if len(in.MenuItems) == 0 || len(in.MenuItems) > menuLimit {
		return kit.Invalid("menu_items", fmt.Sprintf("must have 1 to %d items", menuLimit))
	}
	menu := make([]model.RestaurantMenuItem, len(in.MenuItems))
	for i, item := range in.MenuItems {
		field := fmt.Sprintf("menu_items[%d]", i)
		if menu[i].Name, err = kit.Text(field+".name", item.Name, 200); err != nil {
			return err
		}
		if item.PriceCents < 0 || item.PriceCents > priceLimit {
			return kit.Invalid(field+".price_cents", fmt.Sprintf("must be between 0 and %d", priceLimit))
		}
		menu[i].PriceCents = item.PriceCents
	}
	return s.orders.Do(c, body, func(tx *gorm.DB) (kit.Answer, error) {
		row := model.Restaurant{Name: name, Street: where.Street, City: where.City, Zip: where.Zip, OrderMinimumCents: in.OrderMinimumCents}
		if err := tx.Create(&row).Error; err != nil {
			return kit.Answer{}, err
		}
		for i := range menu {
			menu[i].ID, menu[i].RestaurantID = 0, row.ID
		}
		if err := tx.Create(&menu).Error; err != nil {
			return kit.Answer{}, err
		}
		return kit.JSON(http.StatusCreated, viewRestaurant(row, menu))
	})
}

func (s *server) getRestaurant(c echo.Context) error {
	id, err := kit.PathID(c, "id")
	if err != nil {
		return err
	}
	var row model.Restaurant
	var menu []model.RestaurantMenuItem
	err = s.db.Read(c.Request().Context(), func(tx *gorm.DB) error {
		if row, err = find[model.Restaurant](tx, "restaurant", id); err != nil {
			return err
		}
		return tx.Where("restaurant_id = ?", id).Order("id").Find(&menu).Error
	})
	if err != nil {
		return err
	}
	return send(c, http.StatusOK, viewRestaurant(row, menu))
}

func viewRestaurant(r model.Restaurant, menu []model.RestaurantMenuItem) restaurantView {
	view := restaurantView{ID: r.ID, Name: r.Name, Address: address{Street: r.Street, City: r.City, Zip: r.Zip},
		OrderMinimumCents: r.OrderMinimumCents, MenuItems: make([]menuItemView, len(menu))}
	for i, item := range menu {
		view.MenuItems[i] = menuItemView{ID: item.ID, Name: item.Name, PriceCents: item.PriceCents}
	}
	return view
}
